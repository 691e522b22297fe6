// A data set as the trainer sees it: numbered samples of one shape, each with a target.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/normalize.h"
#include "tensor/tensor.h"

namespace espalier {

/// Where the axes of a picture stand in memory.
enum class PictureLayout {
  nchw,
  nhwc,
};

/// Samples that go through a network together.
struct Batch {
  Tensor inputs;  ///< f32 [N, sample shape]; i64 where samples are tokens
  /// i64 [N] class labels, or [N, ...] for each place; i64 [N, context] next tokens; or f32 [N,
  /// target shape].
  Tensor targets;
};

/// Extents of a picture and its layout; `channels` 0 when samples are no pictures.
struct PictureShape {
  int64_t channels = 0, height = 0, width = 0;
  PictureLayout layout = PictureLayout::nchw;
};

/// Reading is deterministic and may happen from several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  /// Of one sample as `read` writes it: [C, H, W] or [H, W, C] for pictures, else any shape.
  virtual const Shape& sample_shape() const = 0;
  /// Of the elements of a sample: f32, or i64 where they are tokens.
  virtual DType input_type() const { return DType::f32; }
  virtual DType target_type() const { return targets().dtype(); }
  /// Of one sample's target: [] for a label.
  virtual Shape target_shape() const;
  /// Bytes of text behind one target; 0 where targets are no tokens.
  virtual double bytes_per_target() const { return 0; }
  /// Number of classes, or of tokens; 0 when targets are numbers.
  virtual int64_t classes() const = 0;
  /// One name per class, or none when the source has no names.
  virtual const std::vector<std::string>& class_names() const = 0;
  /// Targets of all samples: i64 or f32 [size, target shape]; tokens are copied out for the first
  /// who asks.
  virtual const Tensor& targets() const = 0;
  /// How stored elements become inputs.
  virtual const Normalization& normalization() const = 0;
  virtual PictureLayout layout() const = 0;
  /// Source, split and count, for reports: "idx:data/mnist?split=test, 10000 samples".
  virtual const std::string& description() const = 0;
  /// Writes sample `index`, normalised, to numel(sample_shape()) floats.
  virtual void read(int64_t index, float* sample) const = 0;

  /// Writes sample `index` and its target to row `row` of a batch that make_batch made.
  virtual void write(int64_t index, int64_t row, Batch& batch) const;

  /// The samples named by `indices`, in that order.
  Batch fetch(std::span<const int64_t> indices) const;
  /// An uninitialised-to-zero batch of `count` samples of this data set's shapes.
  Batch make_batch(int64_t count) const;
  /// Copies the target of sample `index` to row `row` of `batch`.
  void copy_target(int64_t index, int64_t row, Batch& batch) const;
  PictureShape picture_shape() const;
};

/// Rows of a tensor in memory, or of a mapped cache file. The tensor's storage is shared between
/// the splits of one source.
class ArrayDataset : public Dataset {
 public:
  struct Parts {
    Tensor samples;             ///< u8 or f32 [rows, ...]; pictures are [rows, C, H, W]
    Tensor targets;             ///< i64 or f32 [rows, ...]
    std::vector<int64_t> rows;  ///< which rows are samples, in order
    int64_t classes = 0;
    std::vector<std::string> class_names;
    Normalization normalization;
    PictureLayout layout = PictureLayout::nchw;
    std::string description;
  };
  explicit ArrayDataset(Parts parts);

  int64_t size() const override { return int64_t(parts_.rows.size()); }
  const Shape& sample_shape() const override { return sample_shape_; }
  int64_t classes() const override { return parts_.classes; }
  const std::vector<std::string>& class_names() const override { return parts_.class_names; }
  const Tensor& targets() const override { return targets_; }
  const Normalization& normalization() const override { return parts_.normalization; }
  PictureLayout layout() const override { return parts_.layout; }
  const std::string& description() const override { return parts_.description; }
  void read(int64_t index, float* sample) const override;
  /// The row of the source that sample `index` is.
  int64_t row(int64_t index) const { return parts_.rows[size_t(index)]; }

 private:
  Parts parts_;
  Shape sample_shape_;
  Tensor targets_;
  int64_t channels_, pixels_;  // a sample is channels x pixels; 1 x all when it is no picture
  std::vector<float> table_;   // [channels, 256]: the input for each byte
};

}  // namespace espalier

// Where data comes from: the kinds a spec can name, and what each of them holds.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/spec.h"

namespace espalier {

/// All samples of a source before a split is chosen.
struct RawData {
  Tensor samples;  ///< u8 or f32 [rows, ...]: training rows, then validation rows, then test rows
  /// i64 [rows] class labels or, for each place of samples [rows, C, ...], [rows, ...]; or f32
  /// [rows, ...].
  Tensor targets;
  int64_t train = 0, val = 0, test = 0;  ///< rows of each; val or test 0 when the source names none
  int64_t classes = 0;                   ///< 0 for numeric targets
  std::vector<std::string> class_names;  ///< one per class, or none

  int64_t rows() const { return train + val + test; }
};

struct DataKey {
  const char* name;
  const char* help;
  bool names_file = false;  ///< its value may be a path, which a recipe means from beside itself
};

/// A source whose splits are no rows of one tensor.
class SplitSource {
 public:
  virtual ~SplitSource() = default;
  /// `named` is the spec with this split. UserError when the split holds no sample.
  virtual std::shared_ptr<const Dataset> split(Split split, const DataSpec& named) const = 0;
};

/// One word before the colon.
struct DataKind {
  const char* name;
  const char* usage;  ///< "idx:DIR"
  const char* what;
  std::vector<DataKey> keys;  ///< beyond those every kind has
  RawData (*load)(const DataSpec&);
  bool generated = false;  ///< its path names no file
  /// Asked before `load`; null, or a null result, leaves the source to `load`.
  std::unique_ptr<const SplitSource> (*open)(const DataSpec&) = nullptr;
};
const std::vector<DataKind>& data_kinds();
/// The keys every kind has.
const std::vector<DataKey>& common_data_keys();
/// Throws UserError(usage) listing the kinds.
const DataKind& find_data_kind(const std::string& name);

/// A source read once; its splits share storage. Splits are disjoint and depend on nothing but the
/// source's size and the fractions `val` and `test` of the spec.
class DataSource {
 public:
  /// Reads, decodes or generates the data. A path that is not here is looked for (data/locate.h).
  /// Throws UserError when that cannot be done.
  explicit DataSource(DataSpec spec);

  const DataSpec& spec() const { return spec_; }
  /// All rows. UserError (unsupported) for a source that has none.
  const RawData& raw() const;
  /// Throws UserError when the split holds no sample.
  std::shared_ptr<const Dataset> split(Split split) const;

 private:
  std::vector<int64_t> rows_of(Split split) const;

  DataSpec spec_;
  std::unique_ptr<const SplitSource> opened_;  // else raw_
  RawData raw_;
  Normalization normalization_;
};

/// The split the spec names, or else `otherwise`.
std::shared_ptr<const Dataset> load_dataset(const DataSpec& spec, Split otherwise);

// One loader per kind; data/source_<kind>.cpp.
RawData load_idx_source(const DataSpec& spec);
RawData load_cifar_source(const DataSpec& spec);
RawData load_images_source(const DataSpec& spec);
RawData load_npz_source(const DataSpec& spec);
RawData load_csv_source(const DataSpec& spec);

// What the loaders share.

/// Entries [begin, end) of a fixed permutation of 0..n-1, ascending.
std::vector<int64_t> drawn_rows(int64_t n, int64_t begin, int64_t end, std::string_view stream);

/// Rows of `parts` one after another; all have one type and one row shape. Throws UserError naming
/// `where` otherwise.
Tensor concat_rows(const std::vector<Tensor>& parts, const std::string& where);
/// Labels as i64, checked to lie in [0, classes), one per row or per place of samples [rows, C,
/// ...]; when `classes` is 0, in the range
/// that a set of so many rows can show. Sets `raw.targets` and `raw.classes`.
void set_labels(RawData& raw, Tensor labels, int64_t classes, const std::string& where);
/// Samples as f32, refused when one is not finite.
Tensor finite_f32(const Tensor& samples, const std::string& where);

}  // namespace espalier

#include "data/tasks.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "data/wrapped.h"

namespace espalier {
namespace {

class OfClasses : public WrappedDataset {
 public:
  /// `every`: each class must have a sample, else one of them.
  OfClasses(std::shared_ptr<const Dataset> of, const std::vector<int64_t>& classes, bool every)
      : WrappedDataset(std::move(of)), count_(int64_t(classes.size())) {
    const Tensor& labels = of_->targets();
    if (labels.dtype() != DType::i64 || labels.rank() != 1 || of_->input_type() != DType::f32)
      throw bad_input(of_->description(), "has no labels to choose samples by");
    std::vector<int64_t> fresh(size_t(of_->classes()), -1), found(classes.size(), 0);
    description_ = of_->description() + ", classes";
    for (int64_t i = 0; i < count_; ++i) {
      const int64_t c = classes[size_t(i)];
      if (c < 0 || c >= of_->classes() || fresh[size_t(c)] >= 0)
        throw bad_input(of_->description(),
                        "cannot be restricted to class " + std::to_string(c) +
                            (c >= 0 && c < of_->classes() ? " twice" : ", which it has not"));
      fresh[size_t(c)] = i;
      description_ += " " + std::to_string(c);
      if (size_t(c) < of_->class_names().size()) names_.push_back(of_->class_names()[size_t(c)]);
    }
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < labels.size(); ++i)
      if (const int64_t label = fresh[size_t(labels.int_at(i))]; label >= 0) {
        rows_.push_back(i);
        kept.push_back(label);
        ++found[size_t(label)];
      }
    for (size_t i = 0; i < found.size(); ++i)
      if (found[i] == 0 && (every || kept.empty()))
        throw bad_input(of_->description(), "has no sample of class " + std::to_string(classes[i]));
    labels_ = Tensor::vector_i64(kept);
  }

  int64_t size() const override { return int64_t(rows_.size()); }
  int64_t classes() const override { return count_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  const Tensor& targets() const override { return labels_; }
  void read(int64_t index, float* sample) const override {
    of_->read(rows_[size_t(index)], sample);
  }

 private:
  int64_t count_;
  std::vector<int64_t> rows_;
  std::vector<std::string> names_;
  Tensor labels_;
};

class Permuted : public WrappedDataset {
 public:
  Permuted(std::shared_ptr<const Dataset> of, uint64_t seed) : WrappedDataset(std::move(of)) {
    if (of_->input_type() != DType::f32)
      throw bad_input(of_->description(), "is tokens, whose order is not drawn anew");
    const PictureShape picture = of_->picture_shape();
    const int64_t elements = numel(of_->sample_shape());
    const int64_t pixels = picture.channels > 0 ? picture.height * picture.width : elements;
    const int64_t channels = elements / pixels;
    const bool planes = picture.layout == PictureLayout::nchw;
    const std::vector<int64_t> order = Rng(seed, stream_of("permuted pixels")).permutation(pixels);
    from_.resize(size_t(elements));
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t i = 0; i < pixels; ++i) {
        const auto at = [&](int64_t pixel) {
          return planes ? c * pixels + pixel : pixel * channels + c;
        };
        from_[size_t(at(i))] = at(order[size_t(i)]);
      }
    description_ = of_->description() + ", permuted by seed " + std::to_string(seed);
  }

  void read(int64_t index, float* sample) const override {
    std::vector<float> straight(from_.size());
    of_->read(index, straight.data());
    for (size_t i = 0; i < from_.size(); ++i) sample[i] = straight[size_t(from_[i])];
  }

 private:
  std::vector<int64_t> from_;
};

}  // namespace

std::shared_ptr<const Dataset> of_classes(std::shared_ptr<const Dataset> data,
                                          const std::vector<int64_t>& classes) {
  return std::make_shared<OfClasses>(std::move(data), classes, true);
}

std::vector<std::shared_ptr<const Dataset>> split_by_class(std::shared_ptr<const Dataset> data,
                                                           int64_t classes) {
  if (classes < 1 || data->classes() < 1 || data->classes() % classes != 0)
    throw bad_input(data->description(), std::to_string(data->classes()) +
                                             " classes cannot be divided into tasks of " +
                                             std::to_string(classes));
  std::vector<std::shared_ptr<const Dataset>> tasks;
  for (int64_t first = 0; first < data->classes(); first += classes) {
    std::vector<int64_t> own;
    for (int64_t c = first; c < first + classes; ++c) own.push_back(c);
    tasks.push_back(std::make_shared<OfClasses>(data, own, false));
  }
  return tasks;
}

std::shared_ptr<const Dataset> permuted(std::shared_ptr<const Dataset> data, uint64_t seed) {
  if (seed == 0) return data;
  return std::make_shared<Permuted>(std::move(data), seed);
}

}  // namespace espalier

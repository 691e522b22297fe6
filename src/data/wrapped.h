// Data sets made from another one.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace espalier {

/// Answers whatever is asked as the data set it is made from does; who derives from it changes some
/// of that, and sets `description_`. Targets are counted as no text (bytes_per_target 0).
class WrappedDataset : public Dataset {
 public:
  explicit WrappedDataset(std::shared_ptr<const Dataset> of) : of_(std::move(of)) {}
  int64_t size() const override { return of_->size(); }
  const Shape& sample_shape() const override { return of_->sample_shape(); }
  DType input_type() const override { return of_->input_type(); }
  int64_t classes() const override { return of_->classes(); }
  const std::vector<std::string>& class_names() const override { return of_->class_names(); }
  const Tensor& targets() const override { return of_->targets(); }
  const Normalization& normalization() const override { return of_->normalization(); }
  PictureLayout layout() const override { return of_->layout(); }
  const std::string& description() const override { return description_; }
  void read(int64_t index, float* sample) const override { of_->read(index, sample); }

 protected:
  std::shared_ptr<const Dataset> of_;
  std::string description_;
};

}  // namespace espalier

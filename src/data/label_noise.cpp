#include "data/label_noise.h"

#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace espalier {
namespace {

class NoisyLabels : public Dataset {
 public:
  NoisyLabels(std::shared_ptr<const Dataset> of, double part, uint64_t seed) : of_(std::move(of)) {
    if (of_->classes() < 2 || of_->target_shape() != Shape{})
      throw bad_input(of_->description(), "has no class labels that could be wrong");
    const Rng rng(seed, stream_of("label noise"));
    targets_ = of_->targets().clone();
    for (int64_t i = 0; i < of_->size(); ++i) {
      const Rng draw = rng.fork(uint64_t(i));
      int64_t& label = targets_.mutable_data<int64_t>()[i];
      if (draw.uniform(0) < part)
        label = (label + 1 + int64_t(draw.below(1, uint64_t(of_->classes() - 1)))) % of_->classes();
    }
    description_ =
        of_->description() + ", " + std::to_string(std::lround(100 * part)) + " % of labels wrong";
  }

  int64_t size() const override { return of_->size(); }
  const Shape& sample_shape() const override { return of_->sample_shape(); }
  DType input_type() const override { return of_->input_type(); }
  int64_t classes() const override { return of_->classes(); }
  const std::vector<std::string>& class_names() const override { return of_->class_names(); }
  const Tensor& targets() const override { return targets_; }
  const Normalization& normalization() const override { return of_->normalization(); }
  PictureLayout layout() const override { return of_->layout(); }
  const std::string& description() const override { return description_; }
  void read(int64_t index, float* sample) const override { of_->read(index, sample); }

 private:
  std::shared_ptr<const Dataset> of_;
  Tensor targets_;
  std::string description_;
};

}  // namespace

std::shared_ptr<const Dataset> with_label_noise(std::shared_ptr<const Dataset> data, double part,
                                                uint64_t seed) {
  return std::make_shared<NoisyLabels>(std::move(data), part, seed);
}

}  // namespace espalier

#include "data/label_noise.h"

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "data/wrapped.h"

namespace espalier {
namespace {

class NoisyLabels : public WrappedDataset {
 public:
  NoisyLabels(std::shared_ptr<const Dataset> of, double part, uint64_t seed)
      : WrappedDataset(std::move(of)) {
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

  const Tensor& targets() const override { return targets_; }

 private:
  Tensor targets_;
};

}  // namespace

std::shared_ptr<const Dataset> with_label_noise(std::shared_ptr<const Dataset> data, double part,
                                                uint64_t seed) {
  return std::make_shared<NoisyLabels>(std::move(data), part, seed);
}

}  // namespace espalier

// Gradients from losses along random directions (Spall 1992, "Multivariate stochastic approximation
// using a simultaneous perturbation gradient approximation"): the mean over some directions, each
// times the slope of the loss along it. Two losses a direction, or one and a common one.
#include "train/finite_differences.h"

namespace espalier {
namespace {

class Spsa : public GradientEstimator {
 public:
  explicit Spsa(RuleStep& s)
      : forward_(s.step(), false),
        directions_{uint64_t(s.seed("directions")), s.setting("draw") != 0},
        count_(s.whole("directions")),
        radius_(s.setting("radius")),
        two_sided_(s.setting("two_sided") != 0) {}

  void prepare() override { forward_.prepare(); }
  std::vector<Tensor> gradients(StepSession& at, const Batch& batch, int64_t number) override {
    const double loss = forward_.start(at, batch, number);
    return slope_along(forward_, directions_, number, count_, radius_, two_sided_, loss);
  }
  int64_t queries() const override { return forward_.queries(); }
  int64_t bytes() const override { return forward_.bytes(); }

 private:
  PerturbedForward forward_;
  Directions directions_;
  int64_t count_;
  double radius_;
  bool two_sided_;
};

}  // namespace

const RuleUnit& spsa_rule() {
  static const RuleUnit unit = {
      "spsa",
      "Spall 1992",
      "slopes of the loss along random directions",
      {{"directions", 16, 1, 1e6, "of each step", /*flag=*/false, /*whole=*/true},
       {"radius", 1e-3, 1e-6, 1, "length of a step along each element"},
       {"two_sided", 1, 0, 1, "differences of two losses, else with that at the point", true},
       {"draw", 0, 0, 1, "elements of a direction", false, false, {"signs", "normal"}}},
      [](RuleStep& s) { feed_gradients(s, std::make_shared<Spsa>(s)); }};
  return unit;
}

}  // namespace espalier

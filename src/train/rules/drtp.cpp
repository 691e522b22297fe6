// Direct random target projection (Frenkel et al. 2021, "Learning without feedback: fixed random
// learning signals allow for feedforward training of deep neural networks", arXiv:1909.01311): what
// reaches a layer in the place of its gradient is a fixed random projection of the target alone.
// The last layer learns from the loss.
#include "train/local_losses.h"

namespace espalier {
namespace {

void write(RuleStep& rule) {
  LocalLosses local(rule);
  Builder b = rule.builder();
  for (const LocalLosses::Layer& layer : local.layers()) {
    const ValueId signal = local.projected_target(layer, layer.shape, rule.setting("scale"));
    std::vector<int64_t> axes;
    for (size_t a = 0; a <= layer.shape.size(); ++a) axes.push_back(int64_t(a));
    const auto batch = double(b.type(layer.output).shape()[0]);
    local.add(b.mul(b.reduce_sum(b.mul(layer.output, signal), axes, false), 1 / batch));
  }
  local.differentiate();
}

}  // namespace

const RuleUnit& drtp_rule() {
  static const RuleUnit unit = {
      "drtp",
      "Frenkel et al., arXiv:1909.01311",
      "a fixed random projection of the target in the place of each layer's gradient",
      {{"scale", 0.05, 1e-6, 1e6, "standard deviation of a projection's elements"}},
      write};
  return unit;
}

}  // namespace espalier

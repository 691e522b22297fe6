// Direct feedback alignment (Nøkland 2016, "Direct feedback alignment provides learning in deep
// neural networks", arXiv:1609.01596): what reaches a layer is a fixed random projection of the
// error at the network's output.
#include "train/local_losses.h"

namespace espalier {
namespace {

void write(RuleStep& rule) {
  LocalLosses local(rule);
  Builder b = rule.builder();
  if (!local.layers().empty() && b.type(rule.step().logits).rank() != 2)
    throw unsupported("rule 'dfa'", "needs one answer for each sample, the output is " +
                                        to_string(b.type(rule.step().logits)));
  for (const LocalLosses::Layer& layer : local.layers()) {
    const ValueId error = local.error();
    const ValueId matrix =
        local.projection(layer, b.type(error).shape()[1], layer.shape, rule.setting("scale"));
    const ValueId signal = local.as_shape(b.matmul(error, matrix), layer.shape);
    std::vector<int64_t> axes;
    for (size_t a = 0; a <= layer.shape.size(); ++a) axes.push_back(int64_t(a));
    local.add(b.reduce_sum(b.mul(layer.output, signal), axes, false));
  }
  local.differentiate();
}

}  // namespace

const RuleUnit& dfa_rule() {
  static const RuleUnit unit = {
      "dfa",
      "Nøkland, arXiv:1609.01596",
      "a fixed random projection of the output's error in the place of each layer's gradient",
      {{"scale", 0.1, 1e-6, 1e6, "standard deviation of a projection's elements"}},
      write};
  return unit;
}

}  // namespace espalier

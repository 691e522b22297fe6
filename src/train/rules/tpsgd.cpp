// Local targets (Lomnitz et al. 2022, "Learning with local gradients at the edge",
// arXiv:2208.08503): each layer's output is compared with a fixed random projection of the label,
// by squared or absolute differences, and only this layer learns from them; the last one learns
// from the loss. Of a convolution each channel has a target, or each element; of a recurrence each
// time step has the same, and nothing is carried back in time.
#include "train/local_losses.h"

namespace espalier {
namespace {

void write(RuleStep& rule) {
  LocalLosses local(rule);
  Builder b = rule.builder();
  const bool squared = rule.setting("loss") == 0, means = rule.setting("maps") == 0;
  const bool last_step = rule.setting("steps") != 0;
  std::map<std::string, ValueId> last;  // output of each layer; a recurrence has many
  for (const LocalLosses::Layer& layer : local.layers()) last[layer.parameter] = layer.output;
  for (const LocalLosses::Layer& layer : local.layers()) {
    if (last_step && last.at(layer.parameter) != layer.output) continue;
    ValueId output = layer.output;
    Shape shape = layer.shape;
    if (means && shape.size() > 1) {
      std::vector<int64_t> positions;
      for (size_t a = 1; a < shape.size(); ++a) positions.push_back(int64_t(a) + 1);
      output = b.reduce_mean(output, positions, false);
      shape.resize(1);
    }
    const ValueId target = local.projected_target(layer, shape, rule.setting("scale"));
    // A sum over features, a mean over samples and the positions of a map.
    const auto features = double(shape[0]);
    if (squared) {
      const ValueId mean = b.one("espalier.MeanSquaredError", {output, target});
      local.add(b.mul(mean, features / 2));
      continue;
    }
    std::vector<int64_t> axes;
    for (size_t a = 0; a <= shape.size(); ++a) axes.push_back(int64_t(a));
    const ValueId distance = b.one("Abs", {b.sub(output, target)});
    local.add(b.mul(b.reduce_mean(distance, axes, false), features));
  }
  local.differentiate();
}

}  // namespace

const RuleUnit& tpsgd_rule() {
  static const RuleUnit unit = {
      "tpsgd",
      "Lomnitz et al., arXiv:2208.08503",
      "each layer approaches a fixed random projection of the label",
      {{"scale", 1, 1e-6, 1e6, "standard deviation of a projection's elements"},
       {"loss",
        0,
        0,
        1,
        "how far an output is from its target",
        false,
        false,
        {"squared", "absolute"}},
       {"maps", 0, 0, 1, "what of a convolution has a target", false, false, {"means", "elements"}},
       {"steps",
        0,
        0,
        1,
        "which states of a recurrence have a target",
        false,
        false,
        {"all", "last"}}},
      write};
  return unit;
}

}  // namespace espalier

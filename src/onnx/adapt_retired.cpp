// Operators that ONNX had on trial up to opset 9 and took back, as converters of their time wrote
// them.
#include <array>

#include "onnx/adapt.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

// y = alpha x + beta
Result affine(Call& c) {
  const float alpha = c.take_float("alpha").value_or(1), beta = c.take_float("beta").value_or(0);
  c.expect(1, 1);
  c.type(0);
  return Values{c.b.add(c.b.mul(c.inputs[0], double(alpha)), double(beta))};
}

// y = scale x
Result scale(Call& c) {
  const float scale = c.take_float("scale").value_or(1);
  c.expect(1, 1);
  c.type(0);
  return Values{c.b.mul(c.inputs[0], double(scale))};
}

// y = alpha tanh(beta x)
Result scaled_tanh(Call& c) {
  const float alpha = c.take_float("alpha").value_or(1), beta = c.take_float("beta").value_or(1);
  c.expect(1, 1);
  c.type(0);
  return Values{c.b.mul(c.b.one("Tanh", {c.b.mul(c.inputs[0], double(beta))}), double(alpha))};
}

// y = alpha ln(1 + exp(beta x))
Result parametric_softplus(Call& c) {
  const float alpha = c.take_float("alpha").value_or(1), beta = c.take_float("beta").value_or(1);
  c.expect(1, 1);
  c.type(0);
  return Values{c.b.mul(c.b.one("Softplus", {c.b.mul(c.inputs[0], double(beta))}), double(alpha))};
}

// Images [N,C,H,W]: y = scale x + bias of the channel.
Result image_scaler(Call& c) {
  const float scale = c.take_float("scale").value_or(1);
  const auto bias = c.take_floats("bias").value_or(std::vector<float>{});
  c.expect(1, 1);
  if (c.type(0).rank() != 4) c.malformed("takes images [N,C,H,W]");
  const ValueId scaled = c.b.mul(c.inputs[0], double(scale));
  if (bias.empty()) return Values{scaled};
  const Tensor list = Tensor::from<float>({int64_t(bias.size()), 1, 1}, std::span(bias));
  return Values{c.b.add(scaled, c.b.constant(list.cast(c.type(0).dtype)))};
}

// Images [N,C,H,W] without their border [left, top, right, bottom].
Result crop(Call& c) {
  const auto border = c.take_ints("border").value_or(std::vector<int64_t>{});
  const auto scale = c.take_ints("scale").value_or(std::vector<int64_t>{});
  c.expect(1, 1);
  if (c.type(0).rank() != 4 || border.size() != 4)
    c.malformed("takes images [N,C,H,W] and a border of four numbers");
  if (!scale.empty() && scale.size() != 2) c.malformed("takes a height and a width to keep");
  constexpr int64_t kMost = int64_t{1} << 40;
  for (const auto& list : {border, scale})
    for (int64_t v : list)
      if (v < 0 || v > kMost) c.malformed("has a border or size of " + std::to_string(v));
  const int64_t top = border[1], left = border[0];
  const std::vector<int64_t> starts = {top, left};
  // An end of 0 from behind is the whole axis.
  const auto from_behind = [](int64_t b) { return b == 0 ? kMost : -b; };
  const std::vector<int64_t> ends =
      scale.empty() ? std::vector<int64_t>{from_behind(border[3]), from_behind(border[2])}
                    : std::vector<int64_t>{top + scale[0], left + scale[1]};
  return Values{
      c.b.one("Slice", {c.inputs[0], c.b.ints(starts), c.b.ints(ends), c.b.ints({2, 3})})};
}

constexpr std::array kAdapters = {
    Adapter{"Affine", 1, 10, affine, "Mul"},
    Adapter{"Scale", 1, 10, scale, "Mul"},
    Adapter{"ScaledTanh", 1, 10, scaled_tanh, "Tanh"},
    Adapter{"ParametricSoftplus", 1, 10, parametric_softplus, "Softplus"},
    Adapter{"ImageScaler", 1, 10, image_scaler, "Mul"},
    Adapter{"Crop", 1, 10, crop, "Slice"},
};

}  // namespace

std::span<const Adapter> retired_adapters() { return kAdapters; }

}  // namespace espalier

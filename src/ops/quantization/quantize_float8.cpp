// espalier.QuantizeFloat8(x) -> codes u8 of x's shape, scales bf16 [groups, 1 or 2]. Runs of
// `group` consecutive elements, in row-major order, have a common scale m, the largest magnitude
// rounded up to bf16, and with `expand` a power k (Xi et al. 2025, arXiv:2410.19313); else k = 1:
//   code = round(most * sign(x) (|x| / m)^k) in the format whose largest number is `most`
// Rounds to nearest, halves to even. A number that is not finite makes its run NaN.
#include "ops/quantization/float8.h"

#include <cmath>
#include <limits>

namespace espalier::ops {
namespace {

Types infer(const Float8Attributes& a, const TypesIn& in) {
  require_float(in, 0);
  check_float8(a, in);
  return {TensorType(DType::u8, in[0].dims), float8_scales(a, in[0].dims)};
}

template <class Real>
void reference(const Float8Attributes& a, Ref<Real>& r) {
  const Float8Groups groups = a.groups();
  const Float8Format& format = *groups.format;
  const auto x = r.real(0);
  const auto codes = r.out_ints(0);
  const auto n = int64_t(x.size()), run = groups.run(n);
  auto* beside = r.out_tensor(1).template mutable_data<bfloat16>();
  for (int64_t begin = 0; begin < n; begin += run, beside += groups.beside()) {
    const int64_t end = std::min(n, begin + run);
    Real most = 0, least = std::numeric_limits<Real>::infinity();
    for (int64_t i = begin; i < end; ++i) {
      const Real magnitude = std::abs(x[size_t(i)]);
      if (!std::isfinite(magnitude)) most = std::numeric_limits<Real>::quiet_NaN();
      if (magnitude > most) most = magnitude;
      if (magnitude > 0) least = std::min(least, magnitude);
    }
    beside[0] = group_scale(float(most));
    const float scale = float(beside[0]);
    const float power = a.expand ? group_power(format, float(least), scale) : 1.0f;
    if (a.expand) beside[1] = bfloat16(power);
    for (int64_t i = begin; i < end; ++i) {
      const Real v = x[size_t(i)];
      const Real part = std::abs(v) * Real(a.expand ? 1 / scale : format.most / scale);
      const Real filled = a.expand ? std::pow(part, Real(power)) * Real(format.most) : part;
      codes[size_t(i)] = scale == 0 ? 0 : format.encode(float(std::copysign(filled, v)));
    }
  }
}

Cost cost(const Float8Attributes& a, const TypesIn& in, const Types& out) {
  return map_cost(a.expand ? 20 : 5, in, out);
}

AxisMap axes(const Float8Attributes&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& quantize_float8() {
  static const Room room = make_room<Float8Attributes>({
      .onnx = {"QuantizeFloat8", 1, "espalier"},
      .arity = {1, 1, 2, 2},
      .attributes = {{"format", &Float8Attributes::format},
                     {"group", &Float8Attributes::group},
                     {"expand", &Float8Attributes::expand}},
      .infer = infer,
      .reference = ESP_REFERENCE(Float8Attributes, reference),
      .gradient = Refuse{"rounds, so its derivative is zero almost everywhere"},
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"changes into 8 bits itself"},
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{}, {OperandSpec::of({3, 4})}},
                  {{"e5m2"}, {OperandSpec::of({3, 4})}},
                  {{"e4m3", 4}, {OperandSpec::of({3, 6})}},
                  {{"e4m3", 8, true}, {OperandSpec::of({5, 4})}},
                  {{"e5m2", 0, true}, {OperandSpec::ranged({7}, 0, 1e-6)}},
                  {{"e4m3", 4, true}, {OperandSpec::of({0, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

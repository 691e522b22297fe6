// espalier.DequantizeFloat8(codes u8, scales [groups, 1 or 2]) -> x in the type `to`. Undoes
// espalier.QuantizeFloat8 of the same attributes: with t the number that a code stands for,
//   x = m sign(t) (|t| / most)^(1 / k)
#include <cmath>

#include "ops/quantization/float8.h"

namespace espalier::ops {
namespace {

Types infer(const Float8Attributes& a, const TypesIn& in) {
  check_float8(a, in);
  if (in[0].dtype != DType::u8) in.fail("codes are u8, not " + to_string(in[0]));
  if (!is_float(a.to)) in.fail("cannot dequantise to " + std::string(name_of(a.to)));
  const TensorType scales = float8_scales(a, in[0].dims);
  require_float(in, 1);
  if (in[1].is_static() && scales.is_static() && in[1].dims != scales.dims)
    in.fail("scales are " + to_string(scales) + ", not " + to_string(in[1]));
  return {TensorType(a.to, in[0].dims)};
}

template <class Real>
void reference(const Float8Attributes& a, Ref<Real>& r) {
  const Float8Groups groups = a.groups();
  const Float8Format& format = *groups.format;
  const auto codes = r.ints(0);
  const auto y = r.out_real(0);
  const auto n = int64_t(codes.size()), run = groups.run(n);
  const auto beside = r.real(1);
  for (int64_t i = 0; i < n; ++i) {
    const Real* own = beside.data() + i / run * groups.beside();
    const Real part = Real(format.decode(uint8_t(codes[size_t(i)]))) / Real(format.most);
    const Real magnitude =
        a.expand && part != 0 ? std::pow(std::abs(part), 1 / own[1]) : std::abs(part);
    y[size_t(i)] = std::copysign(magnitude, part) * own[0];
  }
}

Cost cost(const Float8Attributes& a, const TypesIn& in, const Types& out) {
  return map_cost(a.expand ? 20 : 3, in, out);
}

AxisMap axes(const Float8Attributes&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& dequantize_float8() {
  const auto scales = [](Shape shape) {
    return OperandSpec::ranged(std::move(shape), 0.5, 2, DType::bf16);
  };
  const auto codes = [](Shape shape) {
    return OperandSpec::ranged(std::move(shape), 0, 120, DType::u8);
  };
  static const Room room = make_room<Float8Attributes>({
      .onnx = {"DequantizeFloat8", 1, "espalier"},
      .arity = {2, 2},
      .attributes = {{"format", &Float8Attributes::format},
                     {"group", &Float8Attributes::group},
                     {"expand", &Float8Attributes::expand},
                     {"to", &Float8Attributes::to}},
      .infer = infer,
      .reference = ESP_REFERENCE(Float8Attributes, reference),
      .gradient = Refuse{"reads codes, which are no numbers"},
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"changes from 8 bits itself"},
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{}, {codes({3, 4}), scales({1, 1})}},
                  {{"e5m2"}, {codes({3, 4}), scales({1, 1})}},
                  {{"e4m3", 4}, {codes({3, 6}), scales({5, 1})}},
                  {{"e4m3", 8, true}, {codes({5, 4}), scales({3, 2})}},
                  {{"e4m3", 8, false, DType::bf16}, {codes({16}), scales({2, 1})}}},
  });
  return room;
}

}  // namespace espalier::ops

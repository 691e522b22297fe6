// espalier.IntegerStep(parameter i8, rest i8, change f32) -> parameter, rest: a parameter that is
// stored as 8-bit integers moves by a change in units of one integer. The rest holds 256ths, so
// that changes too small for the integers add up:
//   v = 256 parameter + rest + round(256 change), kept within 127 integers of zero
//   parameter = floor((v + 128) / 256);  rest = v - 256 parameter
// Rounding is half to even. A change that is no number is none.
#include <cmath>

#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

constexpr int64_t kParts = 256, kMost = 127 * kParts;
/// A change that leads from any parameter to any other.
constexpr int64_t kLargest = 2 * kMost;

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 2);
  for (size_t i = 0; i < 2; ++i)
    if (in[i].dtype != DType::i8 || in[i].dims != in[2].dims)
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) +
              ", i8 of the shape of the change, " + to_string(in[2]) + ", is needed");
  return {in[0], in[1]};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto q = r.ints(0), rest = r.ints(1);
  const auto change = r.real(2);
  const auto q_next = r.out_ints(0), rest_next = r.out_ints(1);
  for (size_t i = 0; i < q.size(); ++i) {
    const double wide = double(change[i]) * double(kParts);
    const double by = std::isnan(wide) ? 0 : std::clamp(wide, -double(kLargest), double(kLargest));
    const int64_t v =
        std::clamp(kParts * q[i] + rest[i] + int64_t(std::nearbyint(by)), -kMost, kMost);
    q_next[i] = (v + kMost + kParts + kParts / 2) / kParts - 128;
    rest_next[i] = v - kParts * q_next[i];
  }
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return {0, 8 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) { return step_axes(in, 3); }

void emit(const NoAttributes&, CWriter& c) {
  const auto number = [](int64_t n) { return std::to_string(n); };
  const DType t = c.dtype(2);
  const std::string largest = c_literal(double(kLargest), t);
  c.overlay(0, 0);
  c.overlay(1, 1);
  for_each_element(c, [&](const std::string& at) {
    c.line(c_type(t) + " by = " + c.load(2, at) + " * " + c_literal(double(kParts), t) + ";");
    c.line("by = by > " + largest + " ? " + largest + " : by < -" + largest + " ? -" + largest +
           " : by == by ? by : 0;");
    c.line(with_suffix("int v = " + number(kParts) + " * " + c.load(0, at) + " + " + c.load(1, at) +
                           " + (int)rint~(by);",
                       t));
    c.line("v = v > " + number(kMost) + " ? " + number(kMost) + " : v < -" + number(kMost) +
           " ? -" + number(kMost) + " : v;");
    c.line("const int q = (v + " + number(kMost + kParts + kParts / 2) + ") / " + number(kParts) +
           " - 128;");
    c.store(0, at, "(int8_t)q");
    c.store(1, at, "(int8_t)(v - " + number(kParts) + " * q)");
  });
}

}  // namespace

const Room& integer_step() {
  const auto bytes = [](double lo, double hi) {
    return OperandSpec::ranged({3, 4}, lo, hi, DType::i8);
  };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"IntegerStep", 1, "espalier"},
      .arity = {3, 3, 2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {bytes(-127, 127), bytes(-128, 127), OperandSpec::ranged({3, 4}, -3, 3)}},
                  {{},
                   {bytes(-127, 127), bytes(-128, 127), OperandSpec::ranged({3, 4}, -900, 900)}}},
  });
  return room;
}

}  // namespace espalier::ops

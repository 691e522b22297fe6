// Mul, ONNX opset 14: y = a b with numpy broadcasting; integers wrap.
#include <functional>

#include "ops/arithmetic/integers.h"
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) { return arithmetic_type(in); }

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  binary_loop(r, [](auto a, auto b) { return wrapping(std::multiplies<>(), a, b); });
}

// da = dy b, db = dy a, each summed over broadcast axes.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  Values d(2, kNoValue);
  for (size_t i = 0; i < 2; ++i)
    if (t.wants(i)) d[i] = b.unbroadcast(b.mul(t.dy(), t.x(1 - i)), t.x(i));
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAny);
}

QuantForm quantize(const NoAttributes&, const TypesIn&) { return {.activations = {0, 1}}; }

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kMul}; }

}  // namespace

const Room& mul() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Mul", 14},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({2, 3}), OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::of({2, 1, 4}), OperandSpec::of({3, 1})}},
                  {{}, {OperandSpec::of({}), OperandSpec::of({0, 3})}},
                  {{},
                   {OperandSpec::ranged({5}, -128, 127, DType::i8),
                    OperandSpec::ranged({5}, -128, 127, DType::i8)}}},
  });
  return room;
}

}  // namespace espalier::ops

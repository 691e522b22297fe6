// Add, ONNX opset 14: y = a + b with numpy broadcasting.
#include <functional>

#include "ops/arithmetic/integers.h"
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) { return arithmetic_type(in); }

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  binary_loop(r, [](auto a, auto b) { return wrapping(std::plus<>(), a, b); });
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  return {t.wants(0) ? b.unbroadcast(t.dy(), t.x(0)) : kNoValue,
          t.wants(1) ? b.unbroadcast(t.dy(), t.x(1)) : kNoValue};
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAll);
}

QuantForm quantize(const NoAttributes&, const TypesIn&) { return {.activations = {0, 1}}; }

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kAdd}; }

}  // namespace

const Room& add() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Add", 14},
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
                  {{}, {OperandSpec::of({2, 3}), OperandSpec::of({})}},
                  {{},
                   {OperandSpec::ranged({5}, -9, 9, DType::i32),
                    OperandSpec::ranged({5}, -9, 9, DType::i32)}}},
  });
  return room;
}

}  // namespace espalier::ops

// BitwiseNot, ONNX opset 18: every bit of an integer the other way.
#include "ops/emit.h"
#include "ops/logic/bitwise.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_bits(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto x = r.ints(0);
  const auto y = r.out_ints(0);
  for (size_t i = 0; i < x.size(); ++i) y[i] = ~x[i];
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  return AxisMap::identity(in, false);
}

void emit(const NoAttributes&, CWriter& c) {
  c.map("(" + c_type(c.dtype(0)) + ")(-1 - " +
        (is_unsigned_int(c.dtype(0)) ? "(int64_t)x0)" : "x0)"));
}

}  // namespace

const Room& bitwise_not() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"BitwiseNot", 18},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"it is integer already"},
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::ranged({3, 4}, -100, 100, DType::i32)}},
                  {{}, {OperandSpec::ranged({5}, 0, 255, DType::u8)}},
                  {{}, {OperandSpec::ranged({0, 2}, 0, 1, DType::i64)}}},
  });
  return room;
}

}  // namespace espalier::ops

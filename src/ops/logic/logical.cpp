#include "ops/logic/logical.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

template <class Real>
void run(const LogicalOp& op, Ref<Real>& r) {
  binary_loop(r, [&](auto a, auto b) -> int64_t { return op.apply(a != 0, b != 0); });
}

}  // namespace

void require_bool(const TypesIn& in, size_t i) {
  if (in[i].dtype != DType::boolean)
    in.fail("operand " + std::to_string(i) + " is " + std::string(name_of(in[i].dtype)) +
                ", bool is needed",
            "insert a Cast");
}

Room logical_room(LogicalOp op) {
  using None = NoAttributes;
  FacetOf<None, std::optional<ScalarOp>(const TypesIn&)> pointwise =
      Refuse{"no fused kernel evaluates it"};
  if (op.pointwise)
    pointwise = [code = *op.pointwise](const None&, const TypesIn&) { return ScalarOp{code}; };
  const auto bools = [](Shape shape) {
    return OperandSpec::ranged(std::move(shape), 0, 1, DType::boolean);
  };
  return make_room<None>({
      .onnx = op.onnx,
      .arity = {2, 2},
      .infer = [](const None&, const TypesIn& in) -> Types {
        for (size_t i = 0; i < 2; ++i) require_bool(in, i);
        return {TensorType(DType::boolean, broadcast_dims(in))};
      },
      .reference = ReferenceOf<None>{[op](const None&, Ref<float>& r) { run(op, r); },
                                     [op](const None&, Ref<double>& r) { run(op, r); }},
      .gradient = not_differentiable(),
      .cost = [](const None&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); },
      .axes = [op](const None&, const TypesIn& in,
                   const Types& out) { return AxisMap::broadcast(in, out[0].tensor(), op.zero); },
      .quantize = Refuse{"its operands are boolean"},
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = [op](const None&, CWriter& c) { c.map(op.c); },
      .samples = {{{}, {bools({3, 4}), bools({3, 4})}},
                  {{}, {bools({2, 1, 4}), bools({3, 1})}},
                  {{}, {bools({0, 3}), bools({})}}},
  });
}

}  // namespace espalier::ops

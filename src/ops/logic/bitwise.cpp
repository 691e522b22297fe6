#include "ops/logic/bitwise.h"
#include "ops/emit.h"

namespace espalier::ops {

void require_bits(const TypesIn& in, size_t i) {
  if (!is_int(in[i].dtype))
    in.fail("operand " + std::to_string(i) + " is " + std::string(name_of(in[i].dtype)) +
            ", an integer type is needed");
}

Room bitwise_room(BitwiseOp op) {
  using None = NoAttributes;
  const auto run = [op](const None&, auto& r) { binary_loop(r, op.apply); };
  const auto integers = [](Shape shape, DType type) {
    return OperandSpec::ranged(std::move(shape), is_unsigned_int(type) ? 0 : -100, 100, type);
  };
  return make_room<None>({
      .onnx = op.onnx,
      .arity = {2, 2},
      .infer = [](const None&, const TypesIn& in) -> Types {
        require_bits(in, 0);
        return arithmetic_type(in);
      },
      .reference = ReferenceOf<None>{run, run},
      .gradient = not_differentiable(),
      .cost = [](const None&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); },
      .axes = [op](const None&, const TypesIn& in,
                   const Types& out) { return AxisMap::broadcast(in, out[0].tensor(), op.zero); },
      .quantize = Refuse{"it is integer already"},
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = [op](const None&,
                   CWriter& c) { c.map("(" + c_type(c.dtype(0)) + ")(x0 " + op.c + " x1)"); },
      .samples = {{{}, {integers({3, 4}, DType::i32), integers({3, 4}, DType::i32)}},
                  {{}, {integers({2, 1, 4}, DType::u8), integers({3, 1}, DType::u8)}},
                  {{}, {integers({0, 3}, DType::i64), integers({}, DType::i64)}}},
  });
}

}  // namespace espalier::ops

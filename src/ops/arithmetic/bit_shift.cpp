// BitShift, ONNX opset 11: y = x shifted by s bits to the LEFT or RIGHT, of unsigned integers with
// numpy broadcasting. A shift by the width or more gives 0.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct BitShift {
  std::string direction;
};

Types infer(const BitShift& a, const TypesIn& in) {
  if (a.direction != "LEFT" && a.direction != "RIGHT")
    in.fail("direction is '" + a.direction + "'", "'LEFT' or 'RIGHT' are defined");
  if (!is_unsigned_int(in[0].dtype))
    in.fail("operand 0 is " + std::string(name_of(in[0].dtype)) +
            ", an unsigned integer type is needed");
  return arithmetic_type(in);
}

template <class Real>
void reference(const BitShift& a, Ref<Real>& r) {
  const auto shifted = [&](uint64_t x, uint64_t bits) -> uint64_t {
    if (bits >= 64) return 0;
    return a.direction == "LEFT" ? x << bits : x >> bits;
  };
  binary_loop(r, [&](auto x, auto bits) { return int64_t(shifted(uint64_t(x), uint64_t(bits))); });
}

Cost cost(const BitShift&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

AxisMap axes(const BitShift&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAny);
}

void emit(const BitShift& a, CWriter& c) {
  const std::string by = a.direction == "LEFT" ? " << " : " >> ";
  c.map("x1 >= 64 ? 0 : (" + c_type(c.dtype(0)) + ")((uint64_t)x0" + by + "x1)");
}

}  // namespace

const Room& bit_shift() {
  const auto bytes = [](Shape shape, double hi) {
    return OperandSpec::ranged(std::move(shape), 0, hi, DType::u8);
  };
  static const Room room = make_room<BitShift>({
      .onnx = {"BitShift", 11},
      .arity = {2, 2},
      .attributes = {required("direction", &BitShift::direction)},
      .infer = infer,
      .reference = ESP_REFERENCE(BitShift, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"it is integer already"},
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{"LEFT"}, {bytes({2, 3}, 255), bytes({2, 3}, 9)}},
                  {{"RIGHT"}, {bytes({2, 3}, 255), bytes({3}, 9)}},
                  {{"RIGHT"}, {bytes({0}, 255), bytes({}, 3)}}},
  });
  return room;
}

}  // namespace espalier::ops

// Mod, ONNX opset 13: the remainder of a / b with numpy broadcasting. With fmod = 0 (integers only)
// it has the sign of b, with fmod = 1 that of a. Integers by zero give 0.
#include <cmath>

#include "ops/arithmetic/integers.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Mod {
  bool fmod = false;
};

Types infer(const Mod& a, const TypesIn& in) {
  Types types = arithmetic_type(in);
  if (!a.fmod && is_float(in[0].dtype))
    in.fail("fmod is 0 but the operands are " + std::string(name_of(in[0].dtype)),
            "floats need fmod = 1");
  return types;
}

template <class Real>
void reference(const Mod& a, Ref<Real>& r) {
  const bool is_unsigned = is_unsigned_int(r.dtype(0));
  binary_loop(r, [&](auto x, auto y) {
    if constexpr (std::is_floating_point_v<decltype(x)>) {
      return std::fmod(x, y);
    } else {
      const int64_t rest = remainder(x, y, is_unsigned);
      const bool signs_differ = !is_unsigned && rest != 0 && (rest < 0) != (y < 0);
      return !a.fmod && signs_differ ? rest + y : rest;
    }
  });
}

// da = dy, db = -dy trunc(a / b), each summed over broadcast axes.
Values gradient(const Mod&, Builder& b, const Tape& t) {
  Values d(2, kNoValue);
  if (t.wants(0)) d[0] = b.unbroadcast(t.dy(), t.x(0));
  if (t.wants(1)) {
    const ValueId whole = b.one("Round", {b.div(b.sub(t.y(0), t.x(0)), t.x(1))});
    d[1] = b.unbroadcast(b.mul(t.dy(), whole), t.x(1));
  }
  return d;
}

Cost cost(const Mod&, const TypesIn& in, const Types& out) { return map_cost(8, in, out); }

AxisMap axes(const Mod&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfFirst);
}

void emit(const Mod& a, CWriter& c) {
  if (is_float(c.dtype(0))) return c.map("fmod~(x0, x1)");
  if (is_unsigned_int(c.dtype(0))) return c.map("x1 == 0 ? 0 : x0 % x1");
  const std::string rest = "x0 % x1", zero = "x1 == 0 || x1 == -1 ? 0 : ";
  if (a.fmod) return c.map(zero + rest);
  c.map(zero + rest + " != 0 && (" + rest + " < 0) != (x1 < 0) ? " + rest + " + x1 : " + rest);
}

}  // namespace

const Room& mod() {
  using Spec = OperandSpec;
  const auto ints = [](Shape shape) { return Spec::ranged(std::move(shape), -9, 9, DType::i32); };
  static const Room room = make_room<Mod>({
      .onnx = {"Mod", 13},
      .arity = {2, 2},
      .attributes = {{"fmod", &Mod::fmod}},
      .infer = infer,
      .reference = ESP_REFERENCE(Mod, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"it is discontinuous"},
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{true}, {Spec::ranged({2, 5}, -5, 5), Spec::ranged({2, 5}, 1, 2)}},
                  {{true}, {Spec::ranged({2, 1, 4}, -5, 5), Spec::ranged({3, 1}, -2, -1)}},
                  {{true}, {Spec::of({0, 3}), Spec::ranged({}, 1, 2)}},
                  {{false}, {ints({12}), ints({12})}},
                  {{true}, {ints({12}), ints({12})}}},
  });
  return room;
}

}  // namespace espalier::ops

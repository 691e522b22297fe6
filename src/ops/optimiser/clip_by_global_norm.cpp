// espalier.ClipByGlobalNorm(gradients…) -> gradients…: all scaled by min(1, max_norm / norm), where
// norm is the Euclidean norm of all their elements together (Pascanu et al., 2013).
#include "ops/common.h"

namespace espalier::ops {
namespace {

struct ClipByGlobalNorm {
  float max_norm = 1;
};

Types infer(const ClipByGlobalNorm& a, const TypesIn& in) {
  if (!(a.max_norm > 0)) in.fail("max_norm must be above 0");
  Types types;
  for (size_t i = 0; i < in.size(); ++i) {
    require_float(in, i);
    types.emplace_back(in[i]);
  }
  require_same_dtype(in, 0, in.size());
  return types;
}

Values expand(const ClipByGlobalNorm& a, Builder& b, const Values& in) {
  ValueId sum = kNoValue;
  for (ValueId v : in) {
    const ValueId square = b.one("ReduceSumSquare", {v}, {{"keepdims", int64_t{0}}});
    sum = sum == kNoValue ? square : b.add(sum, square);
  }
  // The largest factor is 1; a norm of 0 divides by max_norm instead.
  const ValueId limit = b.scalar(double(a.max_norm), sum), norm = b.sqrt(sum);
  const ValueId factor = b.div(limit, b.where(b.greater(norm, limit), norm, limit));
  Values scaled;
  for (ValueId v : in) scaled.push_back(b.mul(v, factor));
  return scaled;
}

Cost cost(const ClipByGlobalNorm&, const TypesIn& in, const Types& out) {
  Cost sum{0, 0, 2 * traffic(in, out)};
  for (size_t i = 0; i < in.size(); ++i) sum.flops += 3 * double(in[i].numel());
  return sum;
}

AxisMap axes(const ClipByGlobalNorm&, const TypesIn& in, const Types&) {
  AxisMap map;
  for (size_t i = 0; i < in.size(); ++i)
    for (int64_t d = 0; d < in[i].rank(); ++d)
      if (in[i].dims[size_t(d)].known())
        map.ties.push_back(
            {in[i].dims[size_t(d)].value(), {AxisPlace::in(int(i), d), AxisPlace::out(int(i), d)}});
  for (AxisTie& tie : map.ties) tie.reads_whole = true;  // the norm is of everything
  return map;
}

}  // namespace

const Room& clip_by_global_norm() {
  static const Room room = make_room<ClipByGlobalNorm>({
      .onnx = {"ClipByGlobalNorm", 1, "espalier"},
      .arity = {1, kVariadic, 1, kVariadic},
      .attributes = {{"max_norm", &ClipByGlobalNorm::max_norm}},
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{0.5f}, {OperandSpec::of({3, 2}), OperandSpec::of({4})}},
                  {{100}, {OperandSpec::of({3, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

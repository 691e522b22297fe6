// ReduceMean, ONNX opset 13: the mean over axes.
#include "ops/emit.h"
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

template <class Real>
void reference(const Reduce& a, Ref<Real>& r) {
  reduce_loop(r, reduced_mask(a, r.tensor(0).rank()), SumStep{}, [](auto sum, int64_t count) {
    if constexpr (std::is_integral_v<decltype(sum)>)
      return count == 0 ? 0 : sum / count;
    else
      return sum / double(count);
  });
}

// Every element gets its share of dy.
Values gradient(const Reduce& a, Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  const ValueId dy = unreduced(b, t.dy(), reduced_mask(a, t), a.keepdims);
  const ValueId all = b.one("Expand", {dy, shape_of(b, x)});
  if (t.type_x(0).is_static() && t.type_y(0).is_static()) {
    const double share = double(t.type_y(0).numel()) / double(t.type_x(0).numel());
    return {b.mul(all, share)};
  }
  const auto size = [&](ValueId v) { return b.cast(b.one("Size", {v}), t.type_x(0).dtype); };
  return {b.div(b.mul(all, size(t.y(0))), size(x))};
}

Cost cost(const Reduce&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel() + out[0].tensor().numel()), traffic(in, out)};
}

AxisMap axes(const Reduce& a, const TypesIn& in, const Types&) {
  return reduced_ties(in, reduced_mask(a, in), a.keepdims, ReducedAxis::kReadsWhole, true);
}

QuantForm quantize(const Reduce&, const TypesIn&) { return {.activations = {0}}; }

void emit(const Reduce& a, CWriter& c) {
  emit_reduce(c, reduced_mask(a, c.types()), "0", "acc + x", "acc / @");
}

}  // namespace

const Room& reduce_mean() {
  static const Room room = make_room<Reduce>({
      .onnx = {"ReduceMean", 13},
      .arity = {1, 1},
      .attributes = {{"axes", &Reduce::axes}, {"keepdims", &Reduce::keepdims}},
      .infer = infer_reduce,
      .reference = ESP_REFERENCE(Reduce, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{{2, 3}}, {OperandSpec::of({2, 3, 4, 5})}},
                  {{{-1}, false}, {OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::of({2, 3})}},
                  {{{1}}, {OperandSpec::of({0, 3})}},
                  {{{0}}, {OperandSpec::ranged({4, 2}, -9, 9, DType::i32)}}},
  });
  return room;
}

}  // namespace espalier::ops

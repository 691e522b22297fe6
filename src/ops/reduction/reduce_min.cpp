// ReduceMin, ONNX opset 13, and of booleans as in opset 20: the smallest element over axes. Of no
// elements it is the identity of its comparison; NaN anywhere gives NaN.
#include <cmath>
#include <limits>

#include "ops/emit.h"
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

struct Step {
  template <class Wide>
  Wide start() const {
    if constexpr (std::is_floating_point_v<Wide>)
      return std::numeric_limits<Wide>::infinity();
    else
      return std::numeric_limits<Wide>::max();
  }
  template <class Wide>
  Wide operator()(Wide best, Wide x) const {
    if constexpr (std::is_floating_point_v<Wide>)
      if (std::isnan(x)) return x;
    return x < best ? x : best;
  }
};

template <class Real>
void reference(const Reduce& a, Ref<Real>& r) {
  reduce_loop(r, reduced_mask(a, r.tensor(0).rank()), Step{},
              [is_bool = r.dtype(0) == DType::boolean](auto best, int64_t) {
                return is_bool ? decltype(best)(best > 0) : best;
              });
}

Values gradient(const Reduce& a, Builder& b, const Tape& t) {
  return {gradient_to_extremes(a, b, t)};
}

Cost cost(const Reduce&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const Reduce& a, const TypesIn& in, const Types&) {
  return reduced_ties(in, reduced_mask(a, in), a.keepdims, ReducedAxis::kFixed, true);
}

void emit(const Reduce& a, CWriter& c) {
  const auto mask = reduced_mask(a, c.types());
  if (is_float(c.dtype(0)))
    emit_reduce(c, mask, "INFINITY", "x != x || x < acc ? x : acc");
  else
    emit_reduce(c, mask, "INT64_MAX", "x < acc ? x : acc");
}

}  // namespace

const Room& reduce_min() {
  static const Room room = make_room<Reduce>({
      .onnx = {"ReduceMin", 13},
      .arity = {1, 1},
      .attributes = {{"axes", &Reduce::axes}, {"keepdims", &Reduce::keepdims}},
      .infer = infer_reduce_order,
      .reference = ESP_REFERENCE(Reduce, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{{1}}, {OperandSpec::of({2, 3, 4})}},
                  {{{0, -1}, false}, {OperandSpec::of({2, 3, 4})}},
                  {{}, {OperandSpec::of({2, 3})}},
                  {{{1}}, {OperandSpec::ranged({2, 3}, -9, 9, DType::i8)}},
                  {{{1}}, {OperandSpec::ranged({4, 3}, 0, 1, DType::boolean)}}},
  });
  return room;
}

}  // namespace espalier::ops

// ReduceProd, ONNX opset 13: the product over axes.
// espalier.ReduceProdGrad(x, dy with the reduced axes kept): dx_i = dy * the product of the others,
// which also holds where elements are zero.
#include "ops/emit.h"
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

struct Step {
  template <class Wide>
  Wide start() const {
    return 1;
  }
  template <class Wide>
  Wide operator()(Wide product, Wide x) const {
    return product * x;
  }
};

template <class Real>
void reference(const Reduce& a, Ref<Real>& r) {
  reduce_loop(r, reduced_mask(a, r.tensor(0).rank()), Step{},
              [](auto product, int64_t) { return product; });
}

Values gradient(const Reduce& a, Builder& b, const Tape& t) {
  AttributeMap attributes;
  if (!a.axes.empty()) attributes.emplace("axes", a.axes);
  const ValueId dy = unreduced(b, t.dy(), reduced_mask(a, t), a.keepdims);
  return {b.one("espalier.ReduceProdGrad", {t.x(0), dy}, attributes)};
}

Cost cost(const Reduce&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const Reduce& a, const TypesIn& in, const Types&) {
  const auto mask = reduced_mask(a, in);
  // An empty product is 1 whatever the operand.
  bool empty = false;
  for (size_t i = 0; i < mask.size(); ++i) empty = empty || (mask[i] && in[0].dims[i].is(0));
  return reduced_ties(in, mask, a.keepdims, ReducedAxis::kFixed, !empty);
}

Types infer_grad(const Reduce& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  require_rank(in, 1, in[0].rank());
  const Dims kept = reduced_dims(in[0].dims, reduced_mask(a, in), true);
  for (size_t i = 0; i < kept.size(); ++i)
    if (kept[i].known() && in[1].dims[i].known() && !(kept[i] == in[1].dims[i]))
      in.fail("the gradient " + to_string(in[1]) + " does not fit " + to_string(in[0]));
  return {in[0]};
}

// Products from the left, then from the right, in two sweeps.
template <class Real>
void reference_grad(const Reduce& a, Ref<Real>& r) {
  const auto x = r.real(0), dy = r.real(1);
  const auto dx = r.out_real(0);
  std::vector<size_t> group(x.size());
  for_each_reduced(r.shape(0), reduced_mask(a, r.tensor(0).rank()),
                   [&](size_t i, size_t o) { group[i] = o; });
  std::vector<double> left(dy.size(), 1), right(dy.size(), 1);
  std::vector<double> others(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    others[i] = left[group[i]];
    left[group[i]] *= double(x[i]);
  }
  for (size_t i = x.size(); i-- > 0;) {
    dx[i] = Real(others[i] * right[group[i]] * double(dy[group[i]]));
    right[group[i]] *= double(x[i]);
  }
}

Cost cost_grad(const Reduce&, const TypesIn& in, const Types& out) {
  return {0, 4 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes_grad(const Reduce& a, const TypesIn& in, const Types&) {
  const auto mask = reduced_mask(a, in);
  AxisMap map;
  for (int64_t axis = 0; axis < in[0].rank(); ++axis)
    if (!mask[size_t(axis)] && in[0].dims[size_t(axis)].known())
      map.ties.push_back(
          {in[0].dims[size_t(axis)].value(),
           {AxisPlace::in(0, axis), AxisPlace::in(1, axis), AxisPlace::out(0, axis)}});
  return map;
}

void emit(const Reduce& a, CWriter& c) {
  emit_reduce(c, reduced_mask(a, c.types()), "1", "acc * x");
}

}  // namespace

const Room& reduce_prod() {
  static const Room room = make_room<Reduce>({
      .onnx = {"ReduceProd", 13},
      .arity = {1, 1},
      .attributes = {{"axes", &Reduce::axes}, {"keepdims", &Reduce::keepdims}},
      .infer = infer_reduce,
      .reference = ESP_REFERENCE(Reduce, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{{1}}, {OperandSpec::of({2, 3, 4})}},
                  {{{0}, false}, {OperandSpec::of({3, 2})}},
                  {{{1}}, {OperandSpec::of({2, 0})}},
                  {{}, {OperandSpec::ranged({2, 2}, 0, 2)}}},
  });
  return room;
}

const Room& reduce_prod_grad() {
  static const Room room = make_room<Reduce>({
      .onnx = {"ReduceProdGrad", 1, "espalier"},
      .arity = {2, 2},
      .attributes = {{"axes", &Reduce::axes}},
      .infer = infer_grad,
      .reference = ESP_REFERENCE(Reduce, reference_grad),
      .gradient = Refuse{"is a gradient, of which no further gradient is defined"},
      .cost = cost_grad,
      .axes = axes_grad,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples =
          {{{{1}}, {OperandSpec::of({2, 3, 4}), OperandSpec::of({2, 1, 4})}},
           {{}, {OperandSpec::fixed(Tensor::from<float>({3}, {2, 0, 3})), OperandSpec::of({1})}}},
  });
  return room;
}

}  // namespace espalier::ops

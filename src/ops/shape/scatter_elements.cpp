// ScatterElements, ONNX opset 18: the data with y[index[i][j]][j] = updates[i][j] (for axis 0), or
// combined with what stands there by `reduction`. Indices that meet without a reduction leave the
// last update.
#include "ops/emit.h"
#include "ops/shape/scatter.h"

namespace espalier::ops {
namespace {

struct ScatterElements {
  int64_t axis = 0;
  std::string reduction = "none";
};

Types infer(const ScatterElements& a, const TypesIn& in) {
  meeting_of(a.reduction, in.where());
  require_index_type(in, 1);
  require_rank(in, 1, in[0].rank());
  require_rank(in, 2, in[0].rank());
  if (in[0].dtype != in[2].dtype) in.fail("data and updates differ in type");
  const auto axis = size_t(axis_of(in, 0, a.axis));
  for (size_t d = 0; d < in[0].dims.size(); ++d) {
    const Dim &data = in[0].dims[d], &index = in[1].dims[d], &update = in[2].dims[d];
    if (index.known() && update.known() && !(index == update))
      in.fail("indices " + to_string(in[1]) + " and updates " + to_string(in[2]) + " differ");
    if (d != axis && data.known() && index.known() && index.value() > data.value())
      in.fail("the indices " + to_string(in[1]) + " reach outside " + to_string(in[0]));
  }
  return {in[0]};
}

template <class Real>
void reference(const ScatterElements& a, Ref<Real>& r) {
  scatter(r, meeting_of(a.reduction, "ScatterElements"),
          [&](auto f) { for_each_element(r.tensor(1), r.shape(0), a.axis, "ScatterElements", f); });
}

// Replaced elements get no gradient; updates get that of the element they became.
Values gradient(const ScatterElements& a, Builder& b, const Tape& t) {
  require_linear(a.reduction, t);
  Values d(3, kNoValue);
  if (t.wants(0))
    d[0] = a.reduction == "add" ? t.dy()
                                : b.one("ScatterElements", {t.dy(), t.x(1), zeros_like(b, t.x(2))},
                                        {{"axis", a.axis}});
  if (t.wants(2)) d[2] = b.one("GatherElements", {t.dy(), t.x(1)}, {{"axis", a.axis}});
  return d;
}

AxisMap axes(const ScatterElements& a, const TypesIn& in, const Types&) {
  const int64_t axis = axis_of(in, 0, a.axis);
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d) {
    const Dim& extent = in[0].dims[size_t(d)];
    if (d != axis && extent.known() && extent == in[1].dims[size_t(d)])
      map.ties.push_back(
          {extent.value(),
           {AxisPlace::in(0, d), AxisPlace::in(1, d), AxisPlace::in(2, d), AxisPlace::out(0, d)}});
  }
  return map;
}

void emit(const ScatterElements& a, CWriter& c) {
  c.copy(0, {0, {1}}, 0, {0, {1}}, {c.size(0)});
  const Meeting meeting = meeting_of(a.reduction, "ScatterElements");
  emit_element_positions(c, 1, a.axis, [&](const std::string& data, const std::string& own) {
    emit_meeting(c, meeting, data, own);
  });
}

}  // namespace

const Room& scatter_elements() {
  static const Room room = make_room<ScatterElements>({
      .onnx = {"ScatterElements", 18},
      .arity = {3, 3},
      .attributes = {{"axis", &ScatterElements::axis}, {"reduction", &ScatterElements::reduction}},
      .infer = infer,
      .reference = ESP_REFERENCE(ScatterElements, reference),
      .gradient = gradient,
      .cost = moves<ScatterElements>,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{1},
                   {OperandSpec::of({2, 5}),
                    OperandSpec::fixed(Tensor::from<int64_t>({2, 2}, {1, 3, -1, 0})),
                    OperandSpec::of({2, 2})}},
                  {{0, "add"},
                   {OperandSpec::of({3, 2}), OperandSpec::ranged({4, 2}, 0, 2, DType::i64),
                    OperandSpec::of({4, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

// ScatterND, ONNX opset 18: the data with the slices named by tuples replaced by updates, or
// combined with them by `reduction`.
#include "ops/emit.h"
#include "ops/shape/scatter.h"

namespace espalier::ops {
namespace {

struct ScatterNd {
  std::string reduction = "none";
};

Types infer(const ScatterNd& a, const TypesIn& in) {
  meeting_of(a.reduction, in.where());
  require_index_type(in, 1);
  if (in[0].dtype != in[2].dtype) in.fail("data and updates differ in type");
  const Dims &data = in[0].dims, &indices = in[1].dims;
  if (indices.empty() || !indices.back().known() || indices.back().value() > int64_t(data.size()))
    in.fail("the indices " + to_string(in[1]) + " hold no tuples for " + to_string(in[0]));
  Dims want(indices.begin(), indices.end() - 1);
  want.insert(want.end(), data.begin() + indices.back().value(), data.end());
  const TensorType wanted(in[0].dtype, want);
  bool fits = wanted.rank() == in[2].rank();
  for (size_t d = 0; fits && d < want.size(); ++d)
    fits = !want[d].known() || !in[2].dims[d].known() || want[d] == in[2].dims[d];
  if (!fits) in.fail("updates are " + to_string(in[2]) + ", " + to_string(wanted) + " is needed");
  return {in[0]};
}

template <class Real>
void reference(const ScatterNd& a, Ref<Real>& r) {
  scatter(r, meeting_of(a.reduction, "ScatterND"), [&](auto f) {
    for_each_tuple(r.tensor(1), r.shape(0), 0, "ScatterND",
                   [&](int64_t to, int64_t from, int64_t run) {
                     for (int64_t i = 0; i < run; ++i) f(to + i, from + i);
                   });
  });
}

Values gradient(const ScatterNd& a, Builder& b, const Tape& t) {
  require_linear(a.reduction, t);
  Values d(3, kNoValue);
  if (t.wants(0))
    d[0] =
        a.reduction == "add" ? t.dy() : b.one("ScatterND", {t.dy(), t.x(1), zeros_like(b, t.x(2))});
  if (t.wants(2)) d[2] = b.one("GatherND", {t.dy(), t.x(1)});
  return d;
}

// Axes behind the tuples pass.
AxisMap axes(const ScatterNd&, const TypesIn& in, const Types&) {
  AxisMap map;
  for (int64_t d = in[1].dims.back().value(); d < in[0].rank(); ++d)
    if (in[0].dims[size_t(d)].known())
      map.ties.push_back({in[0].dims[size_t(d)].value(),
                          {AxisPlace::in(0, d), AxisPlace::in(2, d - in[0].rank() + in[2].rank()),
                           AxisPlace::out(0, d)}});
  return map;
}

void emit(const ScatterNd& a, CWriter& c) {
  c.copy(0, {0, {1}}, 0, {0, {1}}, {c.size(0)});
  const Meeting meeting = meeting_of(a.reduction, "ScatterND");
  emit_tuple_positions(c, 0, [&](const std::string& data, const std::string& own) {
    emit_meeting(c, meeting, data, own);
  });
}

}  // namespace

const Room& scatter_nd() {
  static const Room room = make_room<ScatterNd>({
      .onnx = {"ScatterND", 18},
      .arity = {3, 3},
      .attributes = {{"reduction", &ScatterNd::reduction}},
      .infer = infer,
      .reference = ESP_REFERENCE(ScatterNd, reference),
      .gradient = gradient,
      .cost = moves<ScatterNd>,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::of({4, 3}),
                    OperandSpec::fixed(Tensor::from<int64_t>({2, 1}, {1, -1})),
                    OperandSpec::of({2, 3})}},
                  {{"add"},
                   {OperandSpec::of({2, 3}),
                    OperandSpec::fixed(Tensor::from<int64_t>({2, 2}, {0, 1, 0, 1})),
                    OperandSpec::of({2})}}},
  });
  return room;
}

}  // namespace espalier::ops

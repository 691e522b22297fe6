// GatherElements, ONNX opset 13: y[i][j] = data[index[i][j]][j] (for axis 0), one element per
// index.
#include "ops/emit.h"
#include "ops/shape/scatter.h"

namespace espalier::ops {
namespace {

struct GatherElements {
  int64_t axis = 0;
};

Types infer(const GatherElements& a, const TypesIn& in) {
  require_index_type(in, 1);
  require_rank(in, 1, in[0].rank());
  const auto axis = size_t(axis_of(in, 0, a.axis));
  for (size_t d = 0; d < in[0].dims.size(); ++d) {
    const Dim &data = in[0].dims[d], &picked = in[1].dims[d];
    if (d != axis && data.known() && picked.known() && picked.value() > data.value())
      in.fail("the indices " + to_string(in[1]) + " reach outside " + to_string(in[0]));
  }
  return {TensorType(in[0].dtype, in[1].dims)};
}

template <class Real>
void reference(const GatherElements& a, Ref<Real>& r) {
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  for_each_element(r.tensor(1), r.shape(0), a.axis, "GatherElements",
                   [&](int64_t from, int64_t to) { copy(to, from); });
}

Values gradient(const GatherElements& a, Builder& b, const Tape& t) {
  return {b.one("ScatterElements", {zeros_like(b, t.x(0)), t.x(1), t.dy()},
                {{"axis", a.axis}, {"reduction", std::string("add")}}),
          kNoValue};
}

// Axes on which data and indices agree keep their positions.
AxisMap axes(const GatherElements& a, const TypesIn& in, const Types&) {
  const int64_t axis = axis_of(in, 0, a.axis);
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d) {
    const Dim& extent = in[0].dims[size_t(d)];
    if (d != axis && extent.known() && extent == in[1].dims[size_t(d)])
      map.ties.push_back(
          {extent.value(), {AxisPlace::in(0, d), AxisPlace::in(1, d), AxisPlace::out(0, d)}});
  }
  return map;
}

void emit(const GatherElements& a, CWriter& c) {
  emit_element_positions(c, 1, a.axis, [&](const std::string& data, const std::string& own) {
    c.store(0, own, c.load(0, data));
  });
}

}  // namespace

const Room& gather_elements() {
  static const Room room = make_room<GatherElements>({
      .onnx = {"GatherElements", 13},
      .arity = {2, 2},
      .attributes = {{"axis", &GatherElements::axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(GatherElements, reference),
      .gradient = gradient,
      .cost = moves<GatherElements>,
      .axes = axes,
      .quantize = moves_quantized<GatherElements>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{1}, {OperandSpec::of({3, 4}), OperandSpec::ranged({3, 2}, -4, 3, DType::i64)}},
                  {{0}, {OperandSpec::of({3, 4}), OperandSpec::ranged({2, 3}, 0, 2, DType::i32)}}},
  });
  return room;
}

}  // namespace espalier::ops

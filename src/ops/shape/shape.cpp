// Shape, ONNX opset 15: the extents [start, end) of the operand as i64.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct ShapeOf {
  int64_t start = 0;
  std::optional<int64_t> end;
};

std::pair<int64_t, int64_t> range(const ShapeOf& a, int64_t rank) {
  const auto clamp = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const int64_t start = clamp(a.start), end = a.end ? clamp(*a.end) : rank;
  return {start, std::max(start, end)};
}

Types infer(const ShapeOf& a, const TypesIn& in) {
  const auto [start, end] = range(a, in[0].rank());
  return {TensorType(DType::i64, Shape{end - start})};
}

template <class Real>
void reference(const ShapeOf& a, Ref<Real>& r) {
  const auto [start, end] = range(a, int64_t(r.shape(0).size()));
  for (int64_t i = start; i < end; ++i) r.out_ints(0)[size_t(i - start)] = r.shape(0)[size_t(i)];
}

Cost cost(const ShapeOf&, const TypesIn&, const Types&) { return {}; }

AxisMap axes(const ShapeOf&, const TypesIn&, const Types&) { return {}; }

std::optional<Tensor> known(const ShapeOf& a, const TypesIn& in) {
  if (!in.type(0).is_tensor()) return std::nullopt;
  const auto [start, end] = range(a, in[0].rank());
  std::vector<int64_t> extents;
  for (int64_t i = start; i < end; ++i) {
    if (!in[0].dims[size_t(i)].known()) return std::nullopt;
    extents.push_back(in[0].dims[size_t(i)].value());
  }
  return Tensor::vector_i64(extents);
}

void emit(const ShapeOf& a, CWriter& c) { emit_constant(c, *known(a, c.types())); }

}  // namespace

const Room& shape() {
  static const Room room = make_room<ShapeOf>({
      .onnx = {"Shape", 15},
      .arity = {1, 1},
      .attributes = {{"start", &ShapeOf::start}, {"end", &ShapeOf::end}},
      .infer = infer,
      .reference = ESP_REFERENCE(ShapeOf, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3, 4})}}, {{1, -1}, {OperandSpec::of({2, 3, 4})}}},
      .known = known,
  });
  return room;
}

}  // namespace espalier::ops

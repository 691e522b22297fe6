// Unsqueeze, ONNX opset 13: inserts axes of extent 1; the axes operand names them in the result.
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

/// Which axes of the result are inserted, or nothing while the axes operand is unknown.
std::optional<std::vector<bool>> inserted(const TypesIn& in) {
  const auto axes = list_of(in, 1);
  if (!axes) return std::nullopt;
  return axis_mask(in, *axes, in[0].rank() + int64_t(axes->size()));
}

Types infer(const NoAttributes&, const TypesIn& in) {
  const auto mask = inserted(in);
  if (!mask)
    return {
        TensorType(in[0].dtype, Dims(size_t(in[0].rank() + list_length(in, 1)), Dim::unknown()))};
  Dims dims;
  auto next = in[0].dims.begin();
  for (bool fresh : *mask) dims.push_back(fresh ? Dim(1) : *next++);
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  r.out_tensor(0) = r.tensor(0).clone().reshaped(r.out_shape(0));
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  return {b.one("Reshape", {t.dy(), shape_of(b, t.x(0))}, {{"allowzero", int64_t{1}}}), kNoValue};
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  const auto mask = inserted(in);
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (size_t i = 0; mask && i < mask->size(); ++i)
    if (!(*mask)[i]) moved.emplace_back(int64_t(moved.size()), int64_t(i));
  return moved_axes(in, moved);
}

}  // namespace

const Room& unsqueeze() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Unsqueeze", 13},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = moves_nothing<NoAttributes>,
      .axes = axes,
      .quantize = moves_quantized<NoAttributes>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit_view<NoAttributes>,
      .samples = {{{}, {OperandSpec::of({2, 3}), OperandSpec::list({0, 2})}},
                  {{}, {OperandSpec::of({4}), OperandSpec::list({-1})}},
                  {{}, {OperandSpec::of({0, 2}), OperandSpec::list({3, 1})}}},
  });
  return room;
}

}  // namespace espalier::ops

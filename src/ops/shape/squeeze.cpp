// Squeeze, ONNX opset 13: drops the named axes of extent 1; without axes, every axis of extent 1.
// A symbolic extent counts as not 1 until the graph is specialised.
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

/// Which axes of operand 0 are dropped, or nothing while the axes operand is unknown.
std::optional<std::vector<bool>> dropped(const TypesIn& in) {
  const Dims& dims = in[0].dims;
  if (in.has(1)) {
    const auto axes = list_of(in, 1);
    if (!axes) return std::nullopt;
    const auto mask = axis_mask(in, *axes, in[0].rank());
    for (size_t i = 0; i < dims.size(); ++i)
      if (mask[i] && dims[i].known() && !dims[i].is(1))
        in.fail("axis " + std::to_string(i) + " of " + to_string(in[0]) + " is not of extent 1");
    return mask;
  }
  std::vector<bool> mask;
  for (const Dim& d : dims) mask.push_back(d.is(1));
  return mask;
}

Types infer(const NoAttributes&, const TypesIn& in) {
  const auto mask = dropped(in);
  if (!mask) {
    const int64_t rank = in[0].rank() - list_length(in, 1);
    if (rank < 0) in.fail("drops more axes than " + to_string(in[0]) + " has");
    return {TensorType(in[0].dtype, Dims(size_t(rank), Dim::unknown()))};
  }
  Dims dims;
  for (size_t i = 0; i < mask->size(); ++i)
    if (!(*mask)[i]) dims.push_back(in[0].dims[i]);
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  r.out_tensor(0) = r.tensor(0).clone().reshaped(r.out_shape(0));
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  Values d(t.inputs(), kNoValue);
  d[0] = b.one("Reshape", {t.dy(), shape_of(b, t.x(0))}, {{"allowzero", int64_t{1}}});
  return d;
}

// Without named axes nothing may be cut: an axis cut down to 1 would vanish.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  if (!in.has(1)) return {};
  const auto mask = dropped(in);
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (size_t i = 0; mask && i < mask->size(); ++i)
    if (!(*mask)[i]) moved.emplace_back(int64_t(i), int64_t(moved.size()));
  return moved_axes(in, moved);
}

}  // namespace

const Room& squeeze() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Squeeze", 13},
      .arity = {1, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = moves_nothing<NoAttributes>,
      .axes = axes,
      .quantize = moves_quantized<NoAttributes>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit_view<NoAttributes>,
      .samples = {{{}, {OperandSpec::of({2, 1, 3, 1}), OperandSpec::list({1, -1})}},
                  {{}, {OperandSpec::of({1, 3, 1, 2})}},
                  {{}, {OperandSpec::of({1, 0}), OperandSpec::list({0})}}},
  });
  return room;
}

}  // namespace espalier::ops

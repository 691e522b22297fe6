// Tile, ONNX opset 13: the operand repeated along each axis.
#include "base/error.h"
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  TensorType out = in[0];
  const auto repeats = list_of(in, 1);
  const int64_t length = repeats ? int64_t(repeats->size()) : list_length(in, 1);
  if (length != in[0].rank())
    in.fail(std::to_string(length) + " repeats are given for " + to_string(in[0]));
  for (size_t d = 0; d < out.dims.size(); ++d) {
    if (!repeats) {
      out.dims[d] = Dim::unknown();
      continue;
    }
    const int64_t n = (*repeats)[d];
    if (n < 0) in.fail("repeats " + to_string(*repeats) + " are negative");
    if (n == 1) continue;
    out.dims[d] = out.dims[d].known() ? Dim(numel(Shape{out.dims[d].value(), n})) : Dim::unknown();
  }
  return {std::move(out)};
}

// The result seen as axes [repeats, extent] of each axis: repeats read the same elements.
template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto own = strides_of(r.shape(0)), repeats = r.tensor(1).to_i64();
  Shape parts;
  std::vector<int64_t> strides;
  for (size_t d = 0; d < own.size(); ++d) {
    parts.insert(parts.end(), {repeats[d], r.shape(0)[d]});
    strides.insert(strides.end(), {0, own[d]});
  }
  copy_block(r.tensor(0), {0, strides}, r.out_tensor(0), {0, strides_of(parts)}, parts);
}

// The same view of dy, summed over the repeats.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const Tensor* repeats = t.constant(1);
  if (!repeats || !t.type_x(0).is_static())
    throw unsupported(t.node().name,
                      "how often Tile repeats is not known when it is differentiated");
  const Shape shape = t.type_x(0).shape();
  Shape parts;
  std::vector<int64_t> sum;
  for (size_t d = 0; d < shape.size(); ++d) {
    parts.insert(parts.end(), {repeats->int_at(int64_t(d)), shape[d]});
    sum.push_back(int64_t(2 * d));
  }
  if (shape.empty()) return {t.dy(), kNoValue};
  const ValueId view = b.one("Reshape", {t.dy(), b.ints(parts)}, {{"allowzero", int64_t{1}}});
  return {b.reduce_sum(view, sum, false), kNoValue};
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  const auto repeats = list_of(in, 1);
  AxisMap map;
  for (int64_t d = 0; repeats && d < in[0].rank(); ++d)
    if (in[0].dims[size_t(d)].known() && (*repeats)[size_t(d)] > 0)
      map.ties.push_back({in[0].dims[size_t(d)].value(),
                          {AxisPlace::in(0, d), AxisPlace::out(0, d, 1, (*repeats)[size_t(d)])}});
  return map;
}

void emit(const NoAttributes&, CWriter& c) {
  const auto own = strides_of(c.shape(0)), repeats = c.list(1);
  Shape parts;
  CWalk from;
  for (size_t d = 0; d < own.size(); ++d) {
    parts.insert(parts.end(), {repeats[d], c.shape(0)[d]});
    from.strides.insert(from.strides.end(), {0, own[d]});
  }
  c.copy(0, from, 0, {0, strides_of(parts)}, parts);
}

}  // namespace

const Room& tile() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Tile", 13},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = moves<NoAttributes>,
      .axes = axes,
      .quantize = moves_quantized<NoAttributes>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3}), OperandSpec::list({2, 3})}},
                  {{}, {OperandSpec::of({2, 1, 2}), OperandSpec::list({1, 4, 1})}},
                  {{}, {OperandSpec::of({2}), OperandSpec::list({0})}}},
  });
  return room;
}

}  // namespace espalier::ops

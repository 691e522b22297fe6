// Split, ONNX opset 13 and 18: consecutive pieces along one axis, of the sizes the split operand
// lists; without it num_outputs pieces, equal but for a smaller last one.
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Split {
  int64_t axis = 0;
  std::optional<int64_t> num_outputs;
};

/// Extents of the pieces along the axis.
Dims pieces(const Split& a, const TypesIn& in) {
  const Dim& whole = in[0].dims[size_t(axis_of(in, 0, a.axis))];
  if (in.has(1)) {
    const auto sizes = list_of(in, 1);
    if (!sizes) return Dims(size_t(list_length(in, 1)), Dim::unknown());
    int64_t sum = 0;
    for (int64_t size : *sizes)
      if (size < 0 || __builtin_add_overflow(sum, size, &sum))
        in.fail("the sizes " + to_string(*sizes) + " cannot be split off");
    if (whole.known() && !whole.is(sum))
      in.fail("the sizes " + to_string(*sizes) + " do not add up to " + to_string(whole));
    return Dims(sizes->begin(), sizes->end());
  }
  if (!a.num_outputs) in.fail("neither sizes nor a number of pieces are given", "set num_outputs");
  const int64_t n = *a.num_outputs;
  if (n < 1 || n > (1 << 20)) in.fail("cannot split into " + std::to_string(n) + " pieces");
  if (!whole.known()) return Dims(size_t(n), Dim::unknown());
  const int64_t size = (whole.value() + n - 1) / n, last = whole.value() - size * (n - 1);
  if (last < 0)
    in.fail("cannot split an extent of " + to_string(whole) + " into " + std::to_string(n) +
            " pieces");
  Dims dims(static_cast<size_t>(n), Dim(size));
  dims.back() = Dim(last);
  return dims;
}

Types infer(const Split& a, const TypesIn& in) {
  const auto axis = size_t(axis_of(in, 0, a.axis));
  Types types;
  for (const Dim& size : pieces(a, in)) {
    TensorType piece = in[0];
    piece.dims[axis] = size;
    types.emplace_back(std::move(piece));
  }
  return types;
}

template <class Real>
void reference(const Split& a, Ref<Real>& r) {
  const auto strides = strides_of(r.shape(0));
  const auto axis = size_t(normal_axis(a.axis, int64_t(strides.size()), "Split"));
  int64_t offset = 0;
  for (size_t o = 0; o < r.outputs(); ++o) {
    const Shape& shape = r.out_shape(o);
    copy_block(r.tensor(0), {offset, strides}, r.out_tensor(o), {0, strides_of(shape)}, shape);
    offset += shape[axis] * strides[axis];
  }
}

// The pieces' gradients together; a piece nobody differentiates gives zeros.
Values gradient(const Split& a, Builder& b, const Tape& t) {
  const Node& node = t.node();
  const Types types = infer(a, types_in(t.graph(), *node.room, node.inputs, node.name));
  Values parts;
  for (size_t i = 0; i < types.size(); ++i) {
    if (i < t.outputs() && t.dy(i) != kNoValue)
      parts.push_back(t.dy(i));
    else if (types[i].tensor().is_static())
      parts.push_back(b.one("Expand", {b.scalar(0, t.x(0)), b.ints(types[i].tensor().shape())}));
    else if (i < t.outputs() && t.y(i) != kNoValue)
      parts.push_back(zeros_like(b, t.y(i)));
    else
      throw unsupported(node.name, "a piece nobody reads has an unknown extent");
  }
  Values d(t.inputs(), kNoValue);
  d[0] = b.one("Concat", parts, {{"axis", a.axis}});
  return d;
}

// Along the axis each piece ties to its segment of the operand, if the sizes can follow a cut.
AxisMap axes(const Split& a, const TypesIn& in, const Types& out) {
  const int64_t axis = axis_of(in, 0, a.axis);
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d) {
    if (!in[0].dims[size_t(d)].known()) continue;
    if (d != axis) {
      AxisTie tie{in[0].dims[size_t(d)].value(), {AxisPlace::in(0, d)}};
      for (size_t o = 0; o < out.size(); ++o) tie.places.push_back(AxisPlace::out(int(o), d));
      map.ties.push_back(std::move(tie));
      continue;
    }
    int64_t offset = 0;
    for (size_t o = 0; in.constant(1) && o < out.size(); ++o) {
      const int64_t extent = out[o].tensor().dims[size_t(d)].value();
      map.ties.push_back({extent, {AxisPlace::in(0, d, 1, 1, offset), AxisPlace::out(int(o), d)}});
      offset += extent;
    }
  }
  return map;
}

Resized resized(const Split& a, const TypesIn& before, const TypesIn&, const Types& wanted) {
  Resized r{Attributes::of(a), {}};
  if (!before.has(1)) return r;
  const auto axis = size_t(axis_of(before, 0, a.axis));
  std::vector<int64_t> sizes;
  for (const Type& piece : wanted) {
    const Dim& extent = piece.tensor().dims[axis];
    if (!extent.known()) return r;  // sizes cannot say that one is open
    sizes.push_back(extent.value());
  }
  r.constants.emplace_back(1, Tensor::vector_i64(sizes));
  return r;
}

void emit(const Split& a, CWriter& c) {
  const auto strides = strides_of(c.shape(0));
  const auto axis = size_t(normal_axis(a.axis, int64_t(strides.size()), "Split"));
  int64_t offset = 0;
  for (size_t o = 0; o < c.outputs(); ++o) {
    const Shape piece = c.out_shape(o);
    c.copy(0, {offset, strides}, o, {0, strides_of(piece)}, piece);
    offset += piece[axis] * strides[axis];
  }
}

}  // namespace

const Room& split() {
  static const Room room = make_room<Split>({
      .onnx = {"Split", 18},
      .arity = {1, 2, 1, kVariadic},
      .attributes = {{"axis", &Split::axis}, {"num_outputs", &Split::num_outputs}},
      .infer = infer,
      .reference = ESP_REFERENCE(Split, reference),
      .gradient = gradient,
      .cost = moves<Split>,
      .axes = axes,
      .quantize = moves_quantized<Split>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{1}, {OperandSpec::of({2, 6, 2}), OperandSpec::list({3, 1, 2})}},
                  {{-1, 3}, {OperandSpec::of({2, 7})}},
                  {{0, 2}, {OperandSpec::of({4})}},
                  {{0}, {OperandSpec::of({2, 2}), OperandSpec::list({0, 2})}}},
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops

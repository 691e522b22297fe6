// Slice, ONNX opset 13: along each named axis the positions start, start + step, … before end.
// Negative starts and ends count from the back; both are clamped to the extent.
#include "ops/shape/slice.h"
#include "ops/emit.h"

#include <numeric>

namespace espalier::ops {

std::optional<SliceLists> slice_lists(const TypesIn& in, size_t slot, int64_t rank) {
  const auto starts = list_of(in, slot), ends = list_of(in, slot + 1);
  const bool has_axes = in.has(slot + 2), has_steps = in.has(slot + 3);
  const auto axes = has_axes ? list_of(in, slot + 2) : std::nullopt;
  const auto steps = has_steps ? list_of(in, slot + 3) : std::nullopt;
  if (!starts || !ends || (has_axes && !axes) || (has_steps && !steps)) return std::nullopt;
  SliceLists lists{*starts, *ends, {}, {}};
  const size_t n = starts->size();
  if (axes) {
    lists.axes = *axes;
  } else {
    lists.axes.resize(n);
    std::iota(lists.axes.begin(), lists.axes.end(), 0);
  }
  lists.steps = steps ? *steps : std::vector<int64_t>(n, 1);
  if (ends->size() != n || lists.axes.size() != n || lists.steps.size() != n)
    in.fail("starts, ends, axes and steps differ in length");
  axis_mask(in, lists.axes, rank);
  for (int64_t& axis : lists.axes) axis = axis < 0 ? axis + rank : axis;
  for (int64_t step : lists.steps)
    if (step == 0) in.fail("a step of 0 takes nothing");
  return lists;
}

SliceRange slice_range(int64_t start, int64_t end, int64_t step, int64_t extent) {
  if (start < 0) start += extent;
  if (end < 0) end += extent;
  // Longer steps than the extent take one element either way.
  step = std::clamp(step, -std::max<int64_t>(extent, 1), std::max<int64_t>(extent, 1));
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, extent);
    end = std::clamp<int64_t>(end, 0, extent);
    return {start, start < end ? 1 + (end - start - 1) / step : 0, step};
  }
  start = std::clamp<int64_t>(start, -1, extent - 1);
  end = std::clamp<int64_t>(end, -1, extent - 1);
  return {std::max<int64_t>(start, 0), start > end ? 1 + (start - end - 1) / -step : 0, step};
}

Strided sliced(const SliceLists& lists, const Shape& shape) {
  Strided s{0, strides_of(shape)};
  for (size_t i = 0; i < lists.axes.size(); ++i) {
    const auto axis = size_t(lists.axes[i]);
    const SliceRange range =
        slice_range(lists.starts[i], lists.ends[i], lists.steps[i], shape[axis]);
    s.offset += range.first * s.strides[axis];
    s.strides[axis] *= range.step;
  }
  return s;
}

namespace {

/// Whether that entry of the lists takes the whole axis in order, whatever the extent.
bool takes_all(const SliceLists& lists, size_t i, const Dim& extent) {
  if (lists.steps[i] != 1) return false;
  const int64_t start = lists.starts[i], end = lists.ends[i];
  if (!extent.known()) return start == 0 && end >= std::numeric_limits<int32_t>::max();
  return slice_range(start, end, 1, extent.value()).count == extent.value();
}

Types infer(const NoAttributes&, const TypesIn& in) {
  const int64_t rank = in[0].rank();
  TensorType out = in[0];
  const auto lists = slice_lists(in, 1, rank);
  if (!lists) {
    // Unnamed axes pass; which these are may be known although starts and ends are not.
    const auto axes = in.has(3) ? list_of(in, 3) : std::nullopt;
    const auto touched = axes ? axis_mask(in, *axes, rank) : std::vector<bool>(size_t(rank), true);
    for (size_t d = 0; d < touched.size(); ++d)
      if (touched[d]) out.dims[d] = Dim::unknown();
    return {std::move(out)};
  }
  for (size_t i = 0; i < lists->axes.size(); ++i) {
    Dim& d = out.dims[size_t(lists->axes[i])];
    if (takes_all(*lists, i, d)) continue;
    d = d.known()
            ? Dim(slice_range(lists->starts[i], lists->ends[i], lists->steps[i], d.value()).count)
            : Dim::unknown();
  }
  return {std::move(out)};
}

SliceLists lists_of(const auto& r, size_t slot, int64_t rank) {
  const auto list = [&](size_t i) {
    return r.has(i) ? r.tensor(i).to_i64() : std::vector<int64_t>();
  };
  SliceLists lists{list(slot), list(slot + 1), list(slot + 2), list(slot + 3)};
  const size_t n = lists.starts.size();
  if (!r.has(slot + 2)) {
    lists.axes.resize(n);
    std::iota(lists.axes.begin(), lists.axes.end(), 0);
  }
  for (int64_t& axis : lists.axes) axis = axis < 0 ? axis + rank : axis;
  if (!r.has(slot + 3)) lists.steps.assign(n, 1);
  return lists;
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const Shape& shape = r.out_shape(0);
  copy_block(r.tensor(0), sliced(lists_of(r, 1, r.tensor(0).rank()), r.shape(0)), r.out_tensor(0),
             {0, strides_of(shape)}, shape);
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  Values operands = {t.dy(), shape_of(b, t.x(0))};
  for (size_t i = 1; i < t.inputs(); ++i) operands.push_back(t.has(i) ? t.x(i) : kNoValue);
  Values d(t.inputs(), kNoValue);
  d[0] = b.one("espalier.SliceGrad", operands);
  return d;
}

// Axes taken whole pass; along others nothing may be cut, positions would move.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  const auto lists = slice_lists(in, 1, in[0].rank());
  if (!lists) return {};
  std::vector<bool> whole(size_t(in[0].rank()), true);
  for (size_t i = 0; i < lists->axes.size(); ++i) {
    const auto axis = size_t(lists->axes[i]);
    whole[axis] = takes_all(*lists, i, in[0].dims[axis]);
  }
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (int64_t axis = 0; axis < in[0].rank(); ++axis)
    if (whole[size_t(axis)]) moved.emplace_back(axis, axis);
  return moved_axes(in, moved);
}

// Ends of whole axes that counted the old extent no longer bound anything.
Resized resized(const NoAttributes& a, const TypesIn& before, const TypesIn&, const Types&) {
  Resized r{Attributes::of(a), {}};
  const auto lists = slice_lists(before, 1, before[0].rank());
  if (!lists) return r;
  std::vector<int64_t> starts = lists->starts, ends = lists->ends;
  for (size_t i = 0; i < ends.size(); ++i)
    if (takes_all(*lists, i, before[0].dims[size_t(lists->axes[i])])) {
      starts[i] = 0;
      ends[i] = std::numeric_limits<int32_t>::max();
    }
  r.constants.emplace_back(1, Tensor::vector_i64(starts).cast(before[1].dtype));
  r.constants.emplace_back(2, Tensor::vector_i64(ends).cast(before[2].dtype));
  return r;
}

// ---- SliceGrad(dy, shape, starts, ends, axes, steps): zeros of that shape, dy where Slice read --

Types infer_grad(const NoAttributes&, const TypesIn& in) {
  const auto shape = list_of(in, 1);
  if (!shape) {
    require_rank(in, 0, list_length(in, 1));
    return {TensorType(in[0].dtype, Dims(size_t(in[0].rank()), Dim::unknown()))};
  }
  require_rank(in, 0, int64_t(shape->size()));
  for (int64_t d : *shape)
    if (d < 0) in.fail("the shape " + to_string(*shape) + " has a negative extent");
  if (const auto lists = slice_lists(in, 2, in[0].rank())) {
    Shape taken = *shape;
    for (size_t i = 0; i < lists->axes.size(); ++i) {
      int64_t& d = taken[size_t(lists->axes[i])];
      d = slice_range(lists->starts[i], lists->ends[i], lists->steps[i], d).count;
    }
    if (in[0].is_static() && in[0].shape() != taken)
      in.fail("a slice of " + to_string(*shape) + " is " + to_string(taken) + ", not " +
              to_string(in[0]));
  }
  return {TensorType(in[0].dtype, *shape)};
}

template <class Real>
void reference_grad(const NoAttributes&, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  copy_block(r.tensor(0), {0, strides_of(shape)}, r.out_tensor(0),
             sliced(lists_of(r, 2, r.tensor(0).rank()), r.out_shape(0)), shape);
}

Values gradient_grad(const NoAttributes&, Builder& b, const Tape& t) {
  Values operands = {t.dy()};
  for (size_t i = 2; i < t.inputs(); ++i) operands.push_back(t.has(i) ? t.x(i) : kNoValue);
  Values d(t.inputs(), kNoValue);
  d[0] = b.one("Slice", operands);
  return d;
}

AxisMap axes_grad(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

void emit(const NoAttributes&, CWriter& c) {
  const auto lists = slice_lists(c.types(), 1, int64_t(c.shape(0).size()));
  if (!lists) c.refuse("starts, ends, axes and steps must be constant");
  c.copy(0, sliced(*lists, c.shape(0)), 0, {0, strides_of(c.out_shape(0))}, c.out_shape(0));
}

void emit_grad(const NoAttributes&, CWriter& c) {
  const auto lists = slice_lists(c.types(), 2, int64_t(c.shape(0).size()));
  if (!lists) c.refuse("starts, ends, axes and steps must be constant");
  c.fill("0");
  c.copy(0, {0, strides_of(c.shape(0))}, 0, sliced(*lists, c.out_shape(0)), c.shape(0));
}

}  // namespace

const Room& slice() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Slice", 13},
      .arity = {3, 5},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = moves<NoAttributes>,
      .axes = axes,
      .quantize = moves_quantized<NoAttributes>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::of({3, 5, 4}), OperandSpec::list({1, 0}),
                    OperandSpec::list({4, 1000}), OperandSpec::list({1, 2})}},
                  {{},
                   {OperandSpec::of({6, 4}), OperandSpec::list({-1, 0}),
                    OperandSpec::list({-100, 4}), OperandSpec::list({0, 1}),
                    OperandSpec::list({-2, 1})}},
                  {{}, {OperandSpec::of({4, 3}), OperandSpec::list({1}), OperandSpec::list({3})}},
                  {{},
                   {OperandSpec::of({4, 3}), OperandSpec::list({3}), OperandSpec::list({1}),
                    OperandSpec::omitted(), OperandSpec::list({1})}}},
      .resized = resized,
  });
  return room;
}

const Room& slice_grad() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"SliceGrad", 1, "espalier"},
      .arity = {4, 6},
      .infer = infer_grad,
      .reference = ESP_REFERENCE(NoAttributes, reference_grad),
      .gradient = gradient_grad,
      .cost = moves<NoAttributes>,
      .axes = axes_grad,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit_grad,
      .samples = {{{},
                   {OperandSpec::of({3, 2}), OperandSpec::list({3, 5}), OperandSpec::list({4}),
                    OperandSpec::list({0}), OperandSpec::list({1}), OperandSpec::list({-2})}},
                  {{},
                   {OperandSpec::of({2, 3}), OperandSpec::list({4, 3}), OperandSpec::list({1}),
                    OperandSpec::list({3})}}},
  });
  return room;
}

}  // namespace espalier::ops

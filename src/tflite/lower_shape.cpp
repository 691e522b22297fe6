// Operators that give the same elements another shape, and those that pad and join.
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "tflite/operator.h"

namespace espalier::tflite {
namespace {

/// An axis of a tensor of that rank, counted from the front.
int64_t checked_axis(const Operator& o, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    o.fail("axis " + std::to_string(axis) + " is none of " + std::to_string(rank));
  return axis < 0 ? axis + rank : axis;
}

int64_t single(const Operator& o, int32_t t, const std::string& what) {
  const auto list = o.l.ints(t, what);
  if (list.size() != 1) o.fail(what + " is a list of " + std::to_string(list.size()));
  return list[0];
}

/// All operands and the result are coded alike, so that integers can be moved as they are.
bool coded_alike(const Operator& o) {
  for (int32_t t : o.info.inputs)
    if (!o.l.same_coding(t, o.out())) return false;
  return true;
}

/// Padding of the two spatial axes with real zeros, which convolutions can do themselves.
std::optional<WaitingPad> spatial(int32_t source, const std::vector<int64_t>& pads) {
  if (pads.size() != 8 || pads[0] != 0 || pads[1] != 0 || pads[6] != 0 || pads[7] != 0)
    return std::nullopt;
  return WaitingPad{source, pads[2], pads[4], pads[3], pads[5]};
}

}  // namespace

// The target is an operand or an option; a computed one is read while the network runs.
void reshape(const Operator& o) {
  Lowering& l = o.l;
  const ValueId x = l.in_file_order(o.in(0));
  const int32_t shape = o.maybe(1);
  if (shape >= 0 && !l.constant(shape)) {
    const ValueId target = l.cast_to(l.stored(shape), DType::i64);
    return l.set_stored(o.out(), l.op("Reshape", {x, target}));
  }
  std::vector<int64_t> target;
  if (shape >= 0) {
    target = l.ints(shape, "its shape");
  } else {
    for (int32_t d : o.options().list<int32_t>(0)) target.push_back(d);
  }
  // An extent of 0 is one of no elements here, not a copied one.
  AttributeMap attributes;
  if (std::count(target.begin(), target.end(), 0) > 0) attributes["allowzero"] = int64_t{1};
  l.set_stored(o.out(), l.op("Reshape", {x, l.b().ints(target)}, attributes));
}

void squeeze(const Operator& o) {
  Lowering& l = o.l;
  std::vector<int64_t> axes;
  for (int32_t axis : o.options().list<int32_t>(0)) axes.push_back(axis);
  const ValueId x = l.stored(o.in(0));
  l.set_stored(o.out(),
               axes.empty() ? l.op("Squeeze", {x}) : l.op("Squeeze", {x, l.b().ints(axes)}));
}

void expand_dims(const Operator& o) {
  Lowering& l = o.l;
  const int64_t axis = single(o, o.in(1), "its axis");
  l.set_stored(o.out(), l.op("Unsqueeze", {l.stored(o.in(0)), l.b().ints({axis})}));
}

void transpose(const Operator& o) {
  Lowering& l = o.l;
  const auto permutation = l.ints(o.in(1), "its permutation");
  const ValueId y = l.transposed(l.stored(o.in(0)), permutation);
  l.set_stored(o.out(), y);
}

void shape(const Operator& o) {
  Lowering& l = o.l;
  const ValueId y = l.op("Shape", {l.stored(o.in(0))});
  const DType to = element_type(l.info(o.out()).type, o.where);
  l.set_stored(o.out(), l.cast_to(y, to));
}

void concatenation(const Operator& o) {
  Lowering& l = o.l;
  if (o.operands() == 0) o.fail("joins nothing");
  for (size_t i = 0; i < o.operands(); ++i) o.in(i);
  const int activation = o.options().scalar<int8_t>(1, 0);
  const bool integers = activation == 0 && coded_alike(o);
  const Form form = common_form(l, o.info.inputs);
  const int64_t axis =
      axis_in(form, checked_axis(o, o.options().scalar<int32_t>(0, 0), l.rank(o.in(0))));
  Values parts;
  for (int32_t t : o.info.inputs) parts.push_back(integers ? l.stored(t, form) : l.real(t, form));
  const ValueId y = l.op("Concat", parts, {{"axis", axis}});
  if (integers) return l.set_stored(o.out(), y, form);
  l.set_real(o.out(), activated(o, y, activation), form);
}

void pack(const Operator& o) {
  Lowering& l = o.l;
  if (o.operands() == 0) o.fail("joins nothing");
  for (size_t i = 0; i < o.operands(); ++i) o.in(i);
  const int64_t axis =
      checked_axis(o, o.options().scalar<int32_t>(1, 0), int64_t(l.dims(o.in(0)).size()) + 1);
  const bool integers = coded_alike(o);
  Values parts;
  for (int32_t t : o.info.inputs)
    parts.push_back(l.op("Unsqueeze", {integers ? l.stored(t) : l.real(t), l.b().ints({axis})}));
  const ValueId y = parts.size() == 1 ? parts[0] : l.op("Concat", parts, {{"axis", axis}});
  if (integers) return l.set_stored(o.out(), y);
  l.set_real(o.out(), y);
}

void unpack(const Operator& o) {
  Lowering& l = o.l;
  const ValueId x = l.stored(o.in(0));
  const TensorType xt = l.b().type(x);
  const int64_t axis = checked_axis(o, o.options().scalar<int32_t>(1, 0), xt.rank());
  const size_t count = o.info.outputs.size();
  if (count == 0 || !xt.dims[size_t(axis)].is(int64_t(count)))
    o.fail("takes " + to_string(xt) + " apart into " + std::to_string(count));
  Values parts = {x};
  if (count > 1)
    parts =
        l.ops("Split", {x, l.b().ints(std::vector<int64_t>(count, 1))}, {{"axis", axis}}, count);
  for (size_t i = 0; i < count; ++i)
    l.set_stored(o.out(i), l.op("Squeeze", {parts[i], l.b().ints({axis})}));
}

// SPLIT(axis, x) into equal parts, SPLIT_V(x, sizes, axis).
void split(const Operator& o) {
  constexpr int kSplit = 49;
  Lowering& l = o.l;
  const bool equal = o.info.code == kSplit;
  const int32_t x = o.in(equal ? 1 : 0);
  const Form form = l.native(x);
  const Dims dims = l.dims(x);
  const int64_t axis =
      checked_axis(o, single(o, o.in(equal ? 0 : 2), "its axis"), int64_t(dims.size()));
  const size_t count = o.info.outputs.size();
  const Dim& extent = dims[size_t(axis)];
  std::vector<int64_t> sizes;
  if (!equal) {
    sizes = l.ints(o.in(1), "the list of its sizes");
    // One part may take what is left.
    const auto rest = std::find(sizes.begin(), sizes.end(), -1);
    if (rest != sizes.end() && extent.known()) {
      *rest = 0;
      int64_t sum = 0;
      for (int64_t s : sizes)
        if (s < 0 || __builtin_add_overflow(sum, s, &sum))
          o.fail("its sizes are " + to_string(sizes));
      *rest = extent.value() - sum;
    }
  } else if (!extent.known() || count == 0 || extent.value() % int64_t(count) != 0) {
    o.fail("splits " + to_string(extent) + " elements into " + std::to_string(count));
  } else {
    sizes.assign(count, extent.value() / int64_t(count));
  }
  if (sizes.size() != count || count == 0)
    o.fail("has " + std::to_string(count) + " results for sizes " + to_string(sizes));
  const Values parts = l.ops("Split", {l.stored(x, form), l.b().ints(sizes)},
                             {{"axis", axis_in(form, axis)}}, count);
  for (size_t i = 0; i < count; ++i) l.set_stored(o.out(i), parts[i], form);
}

void pad(const Operator& o) {
  constexpr int kPadV2 = 60, kMirrorPad = 100;
  Lowering& l = o.l;
  const int32_t x = o.in(0);
  const bool mirror = o.info.code == kMirrorPad;
  // Pairs of before and after, axis by axis.
  const auto pads = l.ints(o.in(1), "its padding");
  for (int64_t p : pads)
    if (p < 0) o.fail("pads by " + to_string(pads));
  if (mirror && o.options().scalar<int8_t>(0, 0) != 0)
    o.refuse("mirrors the border element too (mode SYMMETRIC)");
  const bool zero = !mirror && (o.info.code != kPadV2 || o.maybe(2) < 0);
  if (zero && l.same_coding(x, o.out()) && !l.waiting_pad(x) && l.rank(x) == 4)
    if (const auto waiting = spatial(x, pads)) return l.set_waiting_pad(o.out(), *waiting);
  const int64_t rank = l.rank(x);
  if (int64_t(pads.size()) != 2 * rank)
    o.fail("pads " + to_string(pads) + " are not two for each of " + std::to_string(rank) +
           " axes");
  const Form form = rank == 4 ? l.native(x) : Form::kFile;
  std::vector<int64_t> amounts(pads.size(), 0);
  for (int64_t axis = 0; axis < rank; ++axis) {
    const auto to = size_t(axis_in(form, axis));
    amounts[to] = pads[size_t(2 * axis)];
    amounts[to + size_t(rank)] = pads[size_t(2 * axis) + 1];
  }
  const bool integers = l.same_coding(x, o.out()) && (mirror || !zero || l.quantised(x));
  Values operands = {integers ? l.stored(x, form) : l.real(x, form), l.b().ints(amounts)};
  AttributeMap attributes;
  if (mirror) attributes["mode"] = std::string("reflect");
  if (!mirror && integers) {
    if (zero) {
      operands.push_back(l.zero_point(x));
    } else {
      const Tensor* value = l.constant(o.in(2));
      if (!value || value->size() != 1) o.refuse("pads with a number that is computed");
      if (l.quantised(x) && !l.same_coding(o.in(2), x))
        o.refuse("pads with a number coded otherwise");
      operands.push_back(l.b().constant(value->reshaped({})));
    }
  } else if (!mirror && !zero) {
    o.refuse("pads with another number than zero and codes its result otherwise");
  }
  const ValueId y = l.op("Pad", operands, attributes);
  if (integers) return l.set_stored(o.out(), y, form);
  l.set_real(o.out(), y, form);
}

void tile(const Operator& o) {
  Lowering& l = o.l;
  const auto times = l.ints(o.in(1), "how often it repeats");
  l.set_stored(o.out(), l.op("Tile", {l.stored(o.in(0)), l.b().ints(times)}));
}

void broadcast_to(const Operator& o) {
  Lowering& l = o.l;
  const auto shape = l.ints(o.in(1), "its shape");
  l.set_stored(o.out(), l.op("Expand", {l.stored(o.in(0)), l.b().ints(shape)}));
}

void fill(const Operator& o) {
  Lowering& l = o.l;
  const auto shape = l.ints(o.in(0), "its shape");
  l.set_stored(o.out(), l.op("Expand", {l.stored(o.in(1)), l.b().ints(shape)}));
}

void zeros_like(const Operator& o) {
  Lowering& l = o.l;
  const Form form = l.native(o.in(0));
  const ValueId x = l.stored(o.in(0), form);
  const DType dtype = l.b().type(x).dtype;
  ValueId zero = l.quantised(o.out()) ? l.zero_point(o.out()) : l.b().constant(Tensor(dtype, {}));
  l.set_stored(o.out(), l.op("Expand", {zero, l.op("Shape", {x})}), form);
}

void blocks_of_pixels(const Operator& o) {
  constexpr int kDepthToSpace = 5;
  Lowering& l = o.l;
  const ValueId x = l.stored(o.in(0), Form::kChannelsFirst);
  const int64_t size = o.options().scalar<int32_t>(0, 0);
  const std::string name = o.info.code == kDepthToSpace ? "DepthToSpace" : "SpaceToDepth";
  l.set_stored(o.out(), l.op(name, {x}, {{"blocksize", size}}), Form::kChannelsFirst);
}

}  // namespace espalier::tflite

// Operators that pick elements, reduce axes and resample pictures.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tflite/operator.h"

namespace espalier::tflite {
namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

struct Cut {
  std::vector<int64_t> starts, ends, axes, steps;

  void add(int64_t axis, int64_t start, int64_t end, int64_t step) {
    axes.push_back(axis);
    starts.push_back(start);
    ends.push_back(end);
    steps.push_back(step);
  }
};

ValueId sliced(Lowering& l, ValueId x, const Cut& c) {
  if (c.axes.empty()) return l.op("Identity", {x});
  Builder& b = l.b();
  return l.op("Slice", {x, b.ints(c.starts), b.ints(c.ends), b.ints(c.axes), b.ints(c.steps)});
}

bool bit(int32_t mask, size_t axis) { return axis < 32 && (uint32_t(mask) >> axis & 1) != 0; }

}  // namespace

void strided_slice(const Operator& o) {
  Lowering& l = o.l;
  const FlatTable& f = o.options();
  const auto begin = l.ints(o.in(1), "where it begins"), end = l.ints(o.in(2), "where it ends"),
             step = l.ints(o.in(3), "its step");
  const auto begin_mask = f.scalar<int32_t>(0, 0), end_mask = f.scalar<int32_t>(1, 0),
             shrink = f.scalar<int32_t>(4, 0);
  if (f.scalar<int32_t>(2, 0) != 0 || f.scalar<int32_t>(3, 0) != 0)
    o.refuse("slices with an ellipsis or a new axis");
  if (f.boolean(5)) o.refuse("gives ends as offsets from where it begins");
  const Dims dims = l.dims(o.in(0));
  if (begin.size() != end.size() || begin.size() != step.size() || begin.size() > dims.size())
    o.fail("slices " + std::to_string(dims.size()) + " axes by " + to_string(begin) + ", " +
           to_string(end) + " and " + to_string(step));
  const Form form = shrink == 0 && dims.size() == 4 ? l.native(o.in(0)) : Form::kFile;
  Cut cut;
  std::vector<int64_t> dropped;
  for (size_t i = 0; i < begin.size(); ++i) {
    const int64_t axis = axis_in(form, int64_t(i));
    if (step[i] == 0) o.fail("has a step of 0");
    if (bit(shrink, i)) {
      dropped.push_back(axis);
      const int64_t at = bit(begin_mask, i) ? 0 : begin[i];
      cut.add(axis, at, at == -1 || at == kEnd ? kEnd : at + 1, 1);
      continue;
    }
    const bool forward = step[i] > 0;
    const bool from_edge = bit(begin_mask, i), to_edge = bit(end_mask, i);
    if (from_edge && to_edge && step[i] == 1) continue;
    cut.add(axis, from_edge ? (forward ? 0 : kEnd) : begin[i],
            to_edge ? (forward ? kEnd : -kEnd) : end[i], step[i]);
  }
  ValueId y = sliced(l, l.stored(o.in(0), form), cut);
  if (!dropped.empty()) y = l.op("Squeeze", {y, l.b().ints(dropped)});
  l.set_stored(o.out(), y, form);
}

void slice(const Operator& o) {
  Lowering& l = o.l;
  const auto begin = l.ints(o.in(1), "where it begins"), size = l.ints(o.in(2), "its size");
  const Dims dims = l.dims(o.in(0));
  if (begin.size() != dims.size() || size.size() != dims.size())
    o.fail("slices " + std::to_string(dims.size()) + " axes by " + to_string(begin) + " and " +
           to_string(size));
  const Form form = dims.size() == 4 ? l.native(o.in(0)) : Form::kFile;
  Cut cut;
  for (size_t i = 0; i < begin.size(); ++i) {
    if (begin[i] < 0 || size[i] < -1) o.fail("begins at " + to_string(begin));
    if (begin[i] == 0 && (size[i] == -1 || dims[i].is(size[i]))) continue;
    const bool to_edge = size[i] == -1 || begin[i] > kEnd - size[i];
    cut.add(axis_in(form, int64_t(i)), begin[i], to_edge ? kEnd : begin[i] + size[i], 1);
  }
  l.set_stored(o.out(), sliced(l, l.stored(o.in(0), form), cut), form);
}

void reverse(const Operator& o) {
  Lowering& l = o.l;
  Cut cut;
  for (int64_t axis : l.ints(o.in(1), "the list of its axes")) cut.add(axis, -1, -kEnd, -1);
  l.set_stored(o.out(), sliced(l, l.stored(o.in(0)), cut));
}

void gather(const Operator& o) {
  Lowering& l = o.l;
  if (o.options().scalar<int32_t>(1, 0) != 0) o.refuse("picks for each of a batch");
  const int64_t axis = o.options().scalar<int32_t>(0, 0);
  l.set_stored(o.out(), l.op("Gather", {l.stored(o.in(0)), l.stored(o.in(1))}, {{"axis", axis}}));
}

void gather_nd(const Operator& o) {
  Lowering& l = o.l;
  const ValueId at = l.cast_to(l.stored(o.in(1)), DType::i64);
  l.set_stored(o.out(), l.op("GatherND", {l.stored(o.in(0)), at}));
}

void arg_extreme(const Operator& o) {
  constexpr int kArgMax = 56;
  Lowering& l = o.l;
  const auto axis = l.ints(o.in(1), "its axis");
  if (axis.size() != 1) o.fail("its axis is a list");
  const ValueId y = l.op(o.info.code == kArgMax ? "ArgMax" : "ArgMin", {l.stored(o.in(0))},
                         {{"axis", axis[0]}, {"keepdims", int64_t{0}}});
  const DType to = element_type(l.info(o.out()).type, o.where);
  l.set_stored(o.out(), l.cast_to(y, to));
}

void reduce(const Operator& o) {
  enum { kMean = 40, kSum = 74, kProd = 81, kMax = 82, kMin = 89 };
  Lowering& l = o.l;
  const auto given = l.ints(o.in(1), "the list of its axes");
  const bool keep = o.options().boolean(0);
  const auto rank = int64_t(l.dims(o.in(0)).size());
  std::vector<bool> gone(size_t(rank), false);
  for (int64_t axis : given) {
    if (axis < -rank || axis >= rank)
      o.fail("axis " + std::to_string(axis) + " is none of " + std::to_string(rank));
    gone[size_t(axis < 0 ? axis + rank : axis)] = true;
  }
  // Channels first as long as what is left stands in the file's order.
  Form form = l.native(o.in(0));
  const bool in_order = keep || (rank == 4 && (gone[3] || (gone[1] && gone[2])));
  if (!in_order) form = Form::kFile;
  std::vector<int64_t> axes;
  for (int64_t axis = 0; axis < rank; ++axis)
    if (gone[size_t(axis)]) axes.push_back(axis_in(form, axis));
  std::sort(axes.begin(), axes.end());
  const ValueId x = l.real(o.in(0), form);
  const Form result = keep ? form : Form::kFile;
  if (axes.empty()) return l.set_real(o.out(), l.op("Identity", {x}), result);
  ValueId y = kNoValue;
  if (o.info.code == kMean && form == Form::kChannelsFirst && axes == std::vector<int64_t>{2, 3}) {
    // Integer kernels know this one; the axes go from what is stored.
    y = l.coded(l.op("GlobalAveragePool", {x}), o.out());
    if (!keep) y = l.op("Squeeze", {y, l.b().ints({2, 3})});
    return l.set_stored(o.out(), y, result);
  }
  const int64_t kept = keep ? 1 : 0;
  if (o.info.code == kSum) {
    y = l.op("ReduceSum", {x, l.b().ints(axes)}, {{"keepdims", kept}});
  } else {
    const char* name = o.info.code == kMean   ? "ReduceMean"
                       : o.info.code == kProd ? "ReduceProd"
                       : o.info.code == kMax  ? "ReduceMax"
                                              : "ReduceMin";
    y = l.op(name, {x}, {{"axes", axes}, {"keepdims", kept}});
  }
  l.set_real(o.out(), y, result);
}

// To a size that is an operand. Positions are mapped edge to edge, centre to centre, or by the
// ratio of the extents alone.
void resize(const Operator& o) {
  constexpr int kBilinear = 23;
  Lowering& l = o.l;
  const bool linear = o.info.code == kBilinear;
  const auto size = l.ints(o.in(1), "its size");
  const bool corners = o.options().boolean(linear ? 2 : 0);
  const bool centres = o.options().boolean(linear ? 3 : 1);
  const bool integers = !linear && l.same_coding(o.in(0), o.out());
  const ValueId x =
      integers ? l.stored(o.in(0), Form::kChannelsFirst) : l.real(o.in(0), Form::kChannelsFirst);
  const TensorType xt = l.b().type(x);
  if (size.size() != 2 || size[0] < 1 || size[1] < 1 || xt.rank() != 4)
    o.fail("resizes " + to_string(xt) + " to " + to_string(size));
  AttributeMap a = {{"mode", std::string(linear ? "linear" : "nearest")},
                    {"coordinate_transformation_mode", std::string(corners   ? "align_corners"
                                                                   : centres ? "half_pixel"
                                                                             : "asymmetric")}};
  if (!linear) a["nearest_mode"] = std::string(corners || centres ? "round_prefer_ceil" : "floor");
  Values operands = {x, kNoValue};
  Dims want = xt.dims;
  want[2] = Dim(size[0]);
  want[3] = Dim(size[1]);
  const TensorType wanted(xt.dtype, want);
  if (wanted.is_static()) {
    const Shape shape = wanted.shape();
    operands.insert(operands.end(), {kNoValue, l.b().ints(shape)});
  } else {
    std::vector<float> scales = {1, 1, 1, 1};
    for (size_t i = 0; i < 2; ++i) {
      const Dim& extent = xt.dims[i + 2];
      if (!extent.known() || extent.is(0))
        o.refuse("resizes " + to_string(xt) + ", whose extents are open",
                 "give the shapes of the inputs: --shape x=1,224,224,3");
      float& s = scales[i + 2];
      s = float(size[i]) / float(extent.value());
      // The extent is rounded down from the product.
      while (std::floor(double(s) * double(extent.value())) < double(size[i]))
        s = std::nextafter(s, std::numeric_limits<float>::infinity());
    }
    operands.push_back(l.b().constant(Tensor::from<float>({4}, std::span<const float>(scales))));
  }
  const ValueId y = l.op("Resize", operands, a);
  if (integers) return l.set_stored(o.out(), y, Form::kChannelsFirst);
  l.set_real(o.out(), y, Form::kChannelsFirst);
}

namespace {

/// Block extents and the two amounts for each of the two spatial axes.
struct Blocks {
  std::vector<int64_t> block, amounts;
};

Blocks blocks_of(const Operator& o) {
  Blocks b{o.l.ints(o.in(1), "its block"), o.l.ints(o.in(2), "its padding or cut")};
  const Dims dims = o.l.dims(o.in(0));
  if (b.block.size() != 2 || b.amounts.size() != 4 || dims.size() != 4)
    o.refuse("works on another number of spatial axes than two");
  for (int64_t v : b.block)
    if (v < 1 || v > (1 << 10)) o.fail("has a block of " + to_string(b.block));
  for (int64_t v : b.amounts)
    if (v < 0 || v > (1 << 20)) o.fail("pads or cuts by " + to_string(b.amounts));
  for (const Dim& d : dims)
    if (!d.known())
      o.refuse("works on open extents", "give the shapes of the inputs: --shape x=1,224,224,3");
  return b;
}

}  // namespace

// Every block-th pixel becomes a picture of its own.
void space_to_batch(const Operator& o) {
  Lowering& l = o.l;
  const auto [block, pads] = blocks_of(o);
  if (!l.same_coding(o.in(0), o.out())) o.refuse("codes its result otherwise");
  ValueId x = l.stored(o.in(0));
  Values operands = {x, l.b().ints({0, pads[0], pads[2], 0, 0, pads[1], pads[3], 0})};
  if (l.quantised(o.in(0))) operands.push_back(l.zero_point(o.in(0)));
  x = l.op("Pad", operands);
  const Shape s = l.b().type(x).shape();
  if (s[1] % block[0] != 0 || s[2] % block[1] != 0)
    o.fail("its block " + to_string(block) + " does not divide " + to_string(s));
  x = l.op("Reshape",
           {x, l.b().ints({s[0], s[1] / block[0], block[0], s[2] / block[1], block[1], s[3]})});
  x = l.op("Transpose", {x}, {{"perm", std::vector<int64_t>{2, 4, 0, 1, 3, 5}}});
  x = l.op("Reshape",
           {x, l.b().ints({s[0] * block[0] * block[1], s[1] / block[0], s[2] / block[1], s[3]})});
  l.set_stored(o.out(), x);
}

void batch_to_space(const Operator& o) {
  Lowering& l = o.l;
  const auto [block, cuts] = blocks_of(o);
  if (!l.same_coding(o.in(0), o.out())) o.refuse("codes its result otherwise");
  ValueId x = l.stored(o.in(0));
  const Shape s = l.b().type(x).shape();
  const int64_t pictures = s[0] / (block[0] * block[1]);
  if (pictures * block[0] * block[1] != s[0])
    o.fail("its block " + to_string(block) + " does not divide " + to_string(s));
  x = l.op("Reshape", {x, l.b().ints({block[0], block[1], pictures, s[1], s[2], s[3]})});
  x = l.op("Transpose", {x}, {{"perm", std::vector<int64_t>{2, 3, 0, 4, 1, 5}}});
  const int64_t height = s[1] * block[0], width = s[2] * block[1];
  x = l.op("Reshape", {x, l.b().ints({pictures, height, width, s[3]})});
  if (cuts[0] + cuts[1] > height || cuts[2] + cuts[3] > width)
    o.fail("cuts " + to_string(cuts) + " from " + to_string(s));
  Cut cut;
  if (cuts[0] + cuts[1] > 0) cut.add(1, cuts[0], height - cuts[1], 1);
  if (cuts[2] + cuts[3] > 0) cut.add(2, cuts[2], width - cuts[3], 1);
  l.set_stored(o.out(), cut.axes.empty() ? x : sliced(l, x, cut));
}

}  // namespace espalier::tflite

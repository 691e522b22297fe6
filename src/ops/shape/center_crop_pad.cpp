// CenterCropPad, ONNX opset 18: the middle of the operand along each axis (or each axis named),
// with zeros around it where more is asked for than there is. An odd element is cut or added
// behind.
#include "base/error.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct CenterCropPad {
  std::vector<int64_t> axes = {};
};

/// The axes in the order of the wanted extents.
std::vector<size_t> named_axes(const CenterCropPad& a, int64_t rank, const std::string& where) {
  std::vector<size_t> axes;
  if (a.axes.empty())
    for (int64_t i = 0; i < rank; ++i) axes.push_back(size_t(i));
  for (int64_t axis : a.axes) axes.push_back(size_t(normal_axis(axis, rank, where)));
  return axes;
}

Types infer(const CenterCropPad& a, const TypesIn& in) {
  if (!a.axes.empty()) axis_mask(in, a.axes, in[0].rank());
  const auto axes = named_axes(a, in[0].rank(), in.where());
  const auto wanted = list_of(in, 1);
  TensorType y = in[0];
  if (wanted && wanted->size() != axes.size())
    in.fail("the shape " + to_string(*wanted) + " is not for " + std::to_string(axes.size()) +
            " axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    if (wanted && (*wanted)[i] < 0)
      in.fail("the shape " + to_string(*wanted) + " has a negative extent");
    y.dims[axes[i]] = wanted ? Dim((*wanted)[i]) : Dim::unknown();
  }
  return {std::move(y)};
}

Values expand(const CenterCropPad& a, Builder& b, const Values& in) {
  const TensorType x = b.type(in[0]);
  const auto& wanted = b.graph().value(in[1]).constant;
  const auto axes = named_axes(a, x.rank(), "CenterCropPad");
  std::vector<int64_t> before(size_t(x.rank()), 0), after = before;
  for (size_t i = 0; i < axes.size(); ++i) {
    const Dim& extent = x.dims[axes[i]];
    if (!wanted || !extent.known())
      throw unsupported("CenterCropPad",
                        "the expansion of " + to_string(x) + " needs known extents",
                        "specialise the graph first");
    const int64_t difference = wanted->int_at(int64_t(i)) - extent.value();
    before[axes[i]] = difference / 2;  // toward zero
    after[axes[i]] = difference - difference / 2;
  }
  before.insert(before.end(), after.begin(), after.end());
  return {b.one("Pad", {in[0], b.ints(before)})};
}

AxisMap axes(const CenterCropPad&, const TypesIn& in, const Types& out) {
  std::vector<std::pair<int64_t, int64_t>> kept;
  for (size_t d = 0; d < in[0].dims.size(); ++d)
    if (in[0].dims[d].known() && in[0].dims[d] == out[0].tensor().dims[d])
      kept.emplace_back(int64_t(d), int64_t(d));
  return moved_axes(in, kept);
}

/// The wanted extents follow where whole axes were kept.
Resized resized(const CenterCropPad& a, const TypesIn&, const TypesIn&, const Types& wanted) {
  Resized r{Attributes::of(a), {}};
  const TensorType& y = wanted[0].tensor();
  std::vector<int64_t> list;
  for (size_t axis : named_axes(a, y.rank(), "CenterCropPad")) {
    if (!y.dims[axis].known()) return r;
    list.push_back(y.dims[axis].value());
  }
  r.constants.emplace_back(1, Tensor::vector_i64(list));
  return r;
}

}  // namespace

const Room& center_crop_pad() {
  using C = CenterCropPad;
  static const Room room = make_room<C>({
      .onnx = {"CenterCropPad", 18},
      .arity = {2, 2},
      .attributes = {{"axes", &C::axes}},
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = moves<C>,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({5, 4, 3}), OperandSpec::list({2, 7, 3})}},
                  {{{-1, 0}}, {OperandSpec::of({4, 2, 6}), OperandSpec::list({3, 5})}}},
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops

// Compress, ONNX opset 11: the slices along an axis (of the flattened operand without one) at which
// the condition holds. A condition shorter than the axis holds nowhere after its end.
#include "ops/selection/selection.h"

namespace espalier::ops {
namespace {

struct Compress {
  std::optional<int64_t> axis;
};

std::vector<int64_t> picked(const Tensor& condition) {
  std::vector<int64_t> at;
  for (int64_t i = 0; i < condition.size(); ++i)
    if (condition.int_at(i) != 0) at.push_back(i);
  return at;
}

Types infer(const Compress& a, const TypesIn& in) {
  if (in[1].dtype != DType::boolean || in[1].rank() != 1)
    in.fail("the condition is " + to_string(in[1]) + ", a list of booleans is needed");
  TensorType out = a.axis ? in[0] : TensorType(in[0].dtype, Dims{Dim::unknown()});
  Dim& d = out.dims[a.axis ? size_t(axis_of(in, 0, *a.axis)) : 0];
  const Dim whole = a.axis ? d : in[0].is_static() ? Dim(in[0].numel()) : Dim::unknown();
  d = Dim::unknown();
  if (const Tensor* condition = in.constant(1)) {
    const auto at = picked(*condition);
    if (whole.known() && !at.empty() && at.back() >= whole.value())
      in.fail("the condition picks position " + std::to_string(at.back()) + " of " +
              to_string(whole));
    d = Dim(int64_t(at.size()));
  }
  return {std::move(out)};
}

template <class Real>
void reference(const Compress& a, Ref<Real>& r) {
  const Shape shape = a.axis ? r.shape(0) : Shape{r.tensor(0).size()};
  const auto axis = size_t(normal_axis(a.axis.value_or(0), int64_t(shape.size()), "Compress"));
  const int64_t run = product(shape, axis + 1, shape.size()), outer = product(shape, 0, axis);
  const auto at = picked(r.tensor(1));
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  for (int64_t o = 0; o < outer; ++o)
    for (size_t k = 0; k < at.size(); ++k)
      copy((o * int64_t(at.size()) + int64_t(k)) * run, (o * shape[axis] + at[k]) * run, run);
}

// Axes other than the compressed one pass.
AxisMap axes(const Compress& a, const TypesIn& in, const Types&) {
  if (!a.axis) return {};
  const int64_t axis = axis_of(in, 0, *a.axis);
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (int64_t d = 0; d < in[0].rank(); ++d)
    if (d != axis) moved.emplace_back(d, d);
  return moved_axes(in, moved);
}

OperandSpec condition(std::initializer_list<bool> values) {
  return OperandSpec::fixed(Tensor::from<bool>({int64_t(values.size())}, values));
}

}  // namespace

const Room& compress() {
  static const Room room = make_room<Compress>({
      .onnx = {"Compress", 11},
      .arity = {2, 2},
      .attributes = {{"axis", &Compress::axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(Compress, reference),
      .gradient = no_gradient_of_selection(),
      .cost = moves<Compress>,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = sized_by_data(),
      .samples = {{{}, {OperandSpec::of({2, 3}), condition({true, false, false, true})}},
                  {{1}, {OperandSpec::of({2, 3, 2}), condition({false, true, true})}},
                  {{-1}, {OperandSpec::of({3, 2}), condition({false})}},
                  {{0}, {OperandSpec::of({3, 2}), condition({false, true, true})}}},
  });
  return room;
}

}  // namespace espalier::ops

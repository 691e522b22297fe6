// OneHot, ONNX opset 11: values[1] where the new axis' position is the index, values[0] elsewhere.
// Indices count from the back when negative; those outside [-depth, depth) are nowhere.
#include <cmath>

#include "base/error.h"
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct OneHot {
  int64_t axis = -1;
};

Types infer(const OneHot& a, const TypesIn& in) {
  if (in[0].dtype == DType::string || in[1].dtype == DType::string)
    in.fail("indices and depth must be numbers");
  if (in[1].rank() > 1 || in[2].rank() != 1 || (in[2].dims[0].known() && !in[2].dims[0].is(2)))
    in.fail("depth is " + to_string(in[1]) + " and values are " + to_string(in[2]) +
            "; a number and a pair are needed");
  Dim depth = Dim::unknown();
  if (const Tensor* d = in.constant(1)) {
    if (d->size() != 1 || d->int_at(0) < 1) in.fail("depth must be one number above 0");
    depth = Dim(d->int_at(0));
  }
  Dims dims = in[0].dims;
  dims.insert(dims.begin() + normal_axis(a.axis, in[0].rank() + 1, in.where()), depth);
  return {TensorType(in[2].dtype, std::move(dims))};
}

template <class Real>
void reference(const OneHot& a, Ref<Real>& r) {
  const Shape& shape = r.out_shape(0);
  const auto axis = size_t(a.axis < 0 ? a.axis + int64_t(shape.size()) : a.axis);
  const int64_t depth = shape[axis], inner = product(shape, axis + 1, shape.size());
  const ElementCopier copy(r.tensor(2), r.out_tensor(0));
  for (int64_t i = 0; i < numel(shape); ++i) copy(i, 0);
  for (int64_t i = 0; i < r.tensor(0).size(); ++i) {
    const double given = r.tensor(0).at(i), at = given < 0 ? given + double(depth) : given;
    if (at >= 0 && at < double(depth))
      copy((i / inner * depth + int64_t(at)) * inner + i % inner, 1);
  }
}

// Axes of the indices pass; the new one is named by values.
AxisMap axes(const OneHot& a, const TypesIn& in, const Types& out) {
  const int64_t axis = normal_axis(a.axis, out[0].tensor().rank(), in.where());
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d)
    if (in[0].dims[size_t(d)].known())
      map.ties.push_back({in[0].dims[size_t(d)].value(),
                          {AxisPlace::in(0, d), AxisPlace::out(0, d < axis ? d : d + 1)},
                          false});
  return map;
}

void emit(const OneHot& a, CWriter& c) {
  const Shape shape = c.out_shape(0);
  const auto axis = size_t(normal_axis(a.axis, int64_t(shape.size()), "OneHot"));
  const int64_t depth = shape[axis], inner = product(shape, axis + 1, shape.size());
  const std::string n = std::to_string(depth), type = c_type(c.dtype(0));
  c.nest({product(shape, 0, axis), depth, inner},
         {{0, strides_of(Shape{1, depth, inner})}, {0, {inner, 0, 1}}, {0, {0, 1, 0}}},
         [&](const std::vector<std::string>& at) {
           c.line("const " + type + " index = " + c.load(0, at[1]) + ";");
           const std::string place =
               "(" +
               (is_unsigned_int(c.dtype(0)) ? std::string("(int64_t)index")
                                            : "index < 0 ? index + " + n + " : index") +
               ")";
           const std::string here =
               is_float(c.dtype(0)) ? "floor(" + place + ") == " + at[2] : place + " == " + at[2];
           c.store(0, at[0], here + " ? " + c.load(2, "1") + " : " + c.load(2, "0"));
         });
}

}  // namespace

const Room& one_hot() {
  static const Room room = make_room<OneHot>({
      .onnx = {"OneHot", 11},
      .arity = {3, 3},
      .attributes = {{"axis", &OneHot::axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(OneHot, reference),
      .gradient = not_differentiable(),
      .cost = moves<OneHot>,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::ranged({2, 3}, -6, 5, DType::i64),
                    OperandSpec::fixed(Tensor::scalar<int64_t>(5)),
                    OperandSpec::fixed(Tensor::from<float>({2}, {0.1f, 0.9f}))}},
                  {{1},
                   {OperandSpec::ranged({2, 3}, 0, 3, DType::i32),
                    OperandSpec::fixed(Tensor::from<int64_t>({1}, {4})),
                    OperandSpec::fixed(Tensor::from<int32_t>({2}, {0, 1}))}}},
  });
  return room;
}

}  // namespace espalier::ops

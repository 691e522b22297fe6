#include "ops/spectral/cosine_window.h"

#include <cmath>
#include <numbers>

namespace espalier::ops {
namespace {

Types infer(const CosineWindow& a, const TypesIn& in) {
  if ((in[0].dtype != DType::i64 && in[0].dtype != DType::i32) || in[0].rank() > 1)
    in.fail("the size is " + to_string(in[0]) + ", an integer is needed");
  if (!is_float(a.output_datatype) && !is_int(a.output_datatype))
    in.fail("output_datatype is " + std::string(name_of(a.output_datatype)) +
            ", a numeric type is needed");
  Dim size = Dim::unknown();
  if (const Tensor* t = in.constant(0)) {
    if (t->size() != 1 || t->int_at(0) < 0) in.fail("the size must be one number of at least 0");
    size = Dim(t->int_at(0));
  }
  return {TensorType(a.output_datatype, Dims{size})};
}

struct Coefficients {
  double a0, a1, a2;
};

template <class Real>
void fill(const Coefficients& c, const CosineWindow& a, Ref<Real>& r) {
  const int64_t size = r.out_shape(0)[0];
  const auto run = [&](auto y) {
    using T = std::remove_cvref_t<decltype(y[0])>;
    for (int64_t i = 0; i < size; ++i) {
      // A symmetric window of one element is that element in the middle.
      const double share = a.periodic  ? double(i) / double(size)
                           : size == 1 ? 0.5
                                       : double(i) / double(size - 1);
      const double angle = 2 * std::numbers::pi * share;
      y[size_t(i)] = convert_element<T>(c.a0 - c.a1 * std::cos(angle) + c.a2 * std::cos(2 * angle));
    }
  };
  if (r.out_is_real(0))
    run(r.out_real(0));
  else
    run(r.out_ints(0));
}

Cost cost(const CosineWindow&, const TypesIn& in, const Types& out) {
  return map_cost(40, in, out);
}

AxisMap axes(const CosineWindow&, const TypesIn&, const Types&) { return {}; }

}  // namespace

Room cosine_window_room(OpName onnx, double a0, double a1, double a2) {
  const Coefficients c{a0, a1, a2};
  const auto size = [](auto v) { return OperandSpec::fixed(Tensor::scalar(v)); };
  RoomOf<CosineWindow> room{
      .onnx = std::move(onnx),
      .arity = {1, 1},
      .attributes = {{"output_datatype", &CosineWindow::output_datatype},
                     {"periodic", &CosineWindow::periodic}},
      .infer = infer,
      .reference =
          ReferenceOf<CosineWindow>{[c](const CosineWindow& a, Ref<float>& r) { fill(c, a, r); },
                                    [c](const CosineWindow& a, Ref<double>& r) { fill(c, a, r); }},
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{}, {size(int64_t{10})}},
                  {{DType::f64, false}, {size(int32_t{7})}},
                  {{DType::f32, false}, {size(int64_t{1})}},
                  {{}, {size(int64_t{0})}}},
  };
  return make_room<CosineWindow>(std::move(room));
}

}  // namespace espalier::ops

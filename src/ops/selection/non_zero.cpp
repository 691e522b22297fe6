// NonZero, ONNX opset 13: the positions of elements that are not zero, one column each, in
// row-major order. Of a scalar the result is [0, N].
#include "ops/selection/selection.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  if (in[0].dtype == DType::string) in.fail("strings are neither zero nor not");
  return {TensorType(DType::i64, Dims{Dim(in[0].rank()), Dim::unknown()})};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  std::vector<int64_t> found;
  const auto find = [&](const auto& x) {
    for (size_t i = 0; i < x.size(); ++i)
      if (x[i] != 0) found.push_back(int64_t(i));
  };
  if (r.is_real(0))
    find(r.real(0));
  else
    find(r.ints(0));
  const auto strides = strides_of(r.shape(0));
  r.resize(0, {int64_t(strides.size()), int64_t(found.size())});
  const auto y = r.out_ints(0);
  for (size_t d = 0; d < strides.size(); ++d)
    for (size_t k = 0; k < found.size(); ++k)
      y[d * found.size() + k] = found[k] / strides[d] % r.shape(0)[d];
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& non_zero() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"NonZero", 13},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = sized_by_data(),
      .samples = {{{}, {OperandSpec::ranged({2, 3, 2}, 0, 1, DType::i32)}},
                  {{}, {OperandSpec::ranged({5}, 0, 1, DType::boolean)}},
                  {{}, {OperandSpec::of({2, 2})}},
                  {{}, {OperandSpec::fixed(Tensor::scalar(2.f))}},
                  {{}, {OperandSpec::of({0, 3})}},
                  {{}, {OperandSpec::fixed(Tensor(DType::f32, {3}))}}},
  });
  return room;
}

}  // namespace espalier::ops

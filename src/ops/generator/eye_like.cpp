// EyeLike, ONNX opset 9: ones on the k-th diagonal of a matrix of the operand's shape.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct EyeLike {
  std::optional<DType> dtype;
  int64_t k = 0;
};

Types infer(const EyeLike& a, const TypesIn& in) {
  require_rank(in, 0, 2);
  const DType to = a.dtype.value_or(in[0].dtype);
  if (to == DType::string) in.fail("strings have no ones");
  return {TensorType(to, in[0].dims)};
}

template <class Real>
void reference(const EyeLike& a, Ref<Real>& r) {
  const int64_t rows = r.out_shape(0)[0], columns = r.out_shape(0)[1];
  const auto run = [&](auto y) {
    for (int64_t i = 0; i < rows; ++i)
      if (a.k >= -i && a.k < columns - i) y[size_t(i * columns + i + a.k)] = 1;
  };
  if (r.out_is_real(0))
    run(r.out_real(0));
  else
    run(r.out_ints(0));
}

Cost cost(const EyeLike&, const TypesIn& in, const Types& out) { return move_cost(in, out); }

AxisMap axes(const EyeLike&, const TypesIn&, const Types&) { return {}; }

void emit(const EyeLike& a, CWriter& c) {
  const Shape shape = c.out_shape(0);
  const int64_t k = std::clamp(a.k, -shape[0] - 1, shape[1] + 1);
  c.nest(shape, {{0, strides_of(shape)}, {k, {1, 0}}, {0, {0, 1}}},
         [&](const std::vector<std::string>& at) { c.store(0, at[0], at[1] + " == " + at[2]); });
}

}  // namespace

const Room& eye_like() {
  static const Room room = make_room<EyeLike>({
      .onnx = {"EyeLike", 9},
      .arity = {1, 1},
      .attributes = {{"dtype", &EyeLike::dtype}, {"k", &EyeLike::k}},
      .infer = infer,
      .reference = ESP_REFERENCE(EyeLike, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({3, 4})}},
                  {{DType::i64, -1}, {OperandSpec::of({3, 2})}},
                  {{{}, 9}, {OperandSpec::of({3, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

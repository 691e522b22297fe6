// Size, ONNX opset 13: the number of elements, an i64 scalar.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  (void)in[0];
  return {TensorType(DType::i64, Dims{})};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  r.out_ints(0)[0] = r.tensor(0).size();
}

Cost cost(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

AxisMap axes(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

std::optional<Tensor> known(const NoAttributes&, const TypesIn& in) {
  if (!in.type(0).is_tensor()) return std::nullopt;
  if (!in[0].is_static()) return std::nullopt;
  return Tensor::scalar<int64_t>(in[0].numel());
}

void emit(const NoAttributes&, CWriter& c) { c.store(0, "0", c_literal(c.size(0), DType::i64)); }

}  // namespace

const Room& size() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Size", 13},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3})}}, {{}, {OperandSpec::of({})}}},
      .known = known,
  });
  return room;
}

}  // namespace espalier::ops

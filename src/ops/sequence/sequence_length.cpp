// SequenceLength, ONNX opset 11: the number of items.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  sequence_element(in, 0);
  return {TensorType(DType::i64, Dims{})};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  r.out_ints(0)[0] = int64_t(r.datum(0).items().size());
}

}  // namespace

const Room& sequence_length() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"SequenceLength", 11},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = handles<NoAttributes>,
      .axes = ties_nothing<NoAttributes>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {OperandSpec::sequence({2, 3})}}},
  });
  return room;
}

}  // namespace espalier::ops

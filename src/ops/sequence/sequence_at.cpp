// SequenceAt, ONNX opset 11: the item at a position; negative positions count from the back.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_position(in, 1);
  return {sequence_element(in, 0)};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto& items = r.datum(0).items();
  r.give(0, items[size_t(position_of(r, 1, int64_t(items.size()), "SequenceAt"))]);
}

}  // namespace

const Room& sequence_at() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"SequenceAt", 11},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<NoAttributes>,
      .axes = ties_nothing<NoAttributes>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{},
                   {OperandSpec::sequence({2, 3}), OperandSpec::fixed(Tensor::scalar<int64_t>(1))}},
                  {{},
                   {OperandSpec::sequence({}), OperandSpec::fixed(Tensor::scalar<int32_t>(-2))}}},
  });
  return room;
}

}  // namespace espalier::ops

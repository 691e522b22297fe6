// SequenceErase, ONNX opset 11: the sequence without the item at the given position, or the last
// one.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  if (in.has(1)) require_position(in, 1);
  sequence_element(in, 0);
  return {in.type(0)};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  std::vector<Datum> items = r.datum(0).items();
  const auto count = int64_t(items.size());
  if (count == 0) throw bad_input("SequenceErase", "there is no item to erase");
  const int64_t at = r.has(1) ? position_of(r, 1, count, "SequenceErase") : count - 1;
  items.erase(items.begin() + at);
  r.give(0, Datum::sequence(r.out_type(0).element(), std::move(items)));
}

}  // namespace

const Room& sequence_erase() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"SequenceErase", 11},
      .arity = {1, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<NoAttributes>,
      .axes = ties_nothing<NoAttributes>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {OperandSpec::sequence({2, 3})}},
                  {{},
                   {OperandSpec::sequence({2}), OperandSpec::fixed(Tensor::scalar<int32_t>(0))}}},
  });
  return room;
}

}  // namespace espalier::ops

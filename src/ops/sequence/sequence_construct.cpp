// SequenceConstruct, ONNX opset 11: the operands as a sequence.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  Type sequence = sequence_of(in.type(0));
  for (size_t i = 0; i < in.size(); ++i)
    sequence = sequence_with(in, sequence.element(), in.type(i));
  return {std::move(sequence)};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  std::vector<Datum> items;
  for (size_t i = 0; i < r.inputs(); ++i) items.push_back(r.datum(i));
  r.give(0, Datum::sequence(r.out_type(0).element(), std::move(items)));
}

}  // namespace

const Room& sequence_construct() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"SequenceConstruct", 11},
      .arity = {1, kVariadic},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<NoAttributes>,
      .axes = ties_nothing<NoAttributes>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {OperandSpec::of({2, 3}), OperandSpec::of({1, 3})}},
                  {{}, {OperandSpec::of({})}}},
  });
  return room;
}

}  // namespace espalier::ops

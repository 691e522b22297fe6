// SequenceInsert, ONNX opset 11: the sequence with a tensor before the given position, or at the
// end.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  if (in.has(2)) require_position(in, 2);
  return {sequence_with(in, sequence_element(in, 0), in.type(1))};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  std::vector<Datum> items = r.datum(0).items();
  const auto count = int64_t(items.size());
  // The place behind the last item has a number of its own only when counted from the front.
  int64_t at = count;
  if (r.has(2) && r.tensor(2).int_at(0) != count) at = position_of(r, 2, count, "SequenceInsert");
  items.insert(items.begin() + at, r.datum(1));
  r.give(0, Datum::sequence(r.out_type(0).element(), std::move(items)));
}

}  // namespace

const Room& sequence_insert() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"SequenceInsert", 11},
      .arity = {2, 3},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<NoAttributes>,
      .axes = ties_nothing<NoAttributes>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {OperandSpec::sequence({2, 3}), OperandSpec::of({1, 3})}},
                  {{},
                   {OperandSpec::sequence({2}), OperandSpec::of({3}),
                    OperandSpec::fixed(Tensor::scalar<int64_t>(-1))}}},
  });
  return room;
}

}  // namespace espalier::ops

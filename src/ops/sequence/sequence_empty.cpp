// SequenceEmpty, ONNX opset 11: a sequence without items, of tensors of that element type.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

struct SequenceEmpty {
  DType dtype = DType::f32;
};

Types infer(const SequenceEmpty& a, const TypesIn&) { return {sequence_of(UnrankedType{a.dtype})}; }

template <class Real>
void reference(const SequenceEmpty&, Ref<Real>& r) {
  r.give(0, Datum::sequence(r.out_type(0).element(), {}));
}

}  // namespace

const Room& sequence_empty() {
  static const Room room = make_room<SequenceEmpty>({
      .onnx = {"SequenceEmpty", 11},
      .arity = {0, 0},
      .attributes = {{"dtype", &SequenceEmpty::dtype}},
      .infer = infer,
      .reference = ESP_REFERENCE(SequenceEmpty, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<SequenceEmpty>,
      .axes = ties_nothing<SequenceEmpty>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {}}, {{DType::i64}, {}}},
  });
  return room;
}

}  // namespace espalier::ops

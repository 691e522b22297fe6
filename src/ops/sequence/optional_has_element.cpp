// OptionalHasElement, ONNX opset 18: whether an optional holds something; tensors and sequences do,
// and what is omitted does not.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn&) { return {TensorType(DType::boolean, Dims{})}; }

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const bool some = r.has(0) && (!r.datum(0).type().is_optional() || !r.datum(0).items().empty());
  r.out_ints(0)[0] = some ? 1 : 0;
}

}  // namespace

const Room& optional_has_element() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"OptionalHasElement", 18},
      .arity = {0, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = handles<NoAttributes>,
      .axes = ties_nothing<NoAttributes>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {OperandSpec::optional({2, 3})}}, {{}, {OperandSpec::of({2})}}, {{}, {}}},
  });
  return room;
}

}  // namespace espalier::ops

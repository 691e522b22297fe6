// OptionalGetElement, ONNX opset 18: what an optional holds; tensors and sequences are themselves.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  return {in.type(0).is_optional() ? in.type(0).element() : in.type(0)};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  if (!r.datum(0).type().is_optional()) return r.give(0, r.datum(0));
  if (r.datum(0).items().empty())
    throw bad_input("OptionalGetElement", "the optional holds nothing",
                    "ask OptionalHasElement first");
  r.give(0, r.datum(0).items()[0]);
}

}  // namespace

const Room& optional_get_element() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"OptionalGetElement", 18},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<NoAttributes>,
      .axes = ties_nothing<NoAttributes>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {OperandSpec::optional({2, 3})}}, {{}, {OperandSpec::of({2})}}},
  });
  return room;
}

}  // namespace espalier::ops

// Optional, ONNX opset 15: the operand as an optional that holds it, or an empty optional of the
// type the attribute says.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

struct OptionalOf {
  std::optional<Type> type;
};

Types infer(const OptionalOf& a, const TypesIn& in) {
  if (in.has(0)) {
    if (in.type(0).is_optional()) in.fail("an optional cannot hold " + to_string(in.type(0)));
    return {optional_of(in.type(0))};
  }
  if (!a.type) in.fail("holds nothing and does not say of which type", "set the attribute type");
  return {optional_of(*a.type)};
}

template <class Real>
void reference(const OptionalOf&, Ref<Real>& r) {
  const Type& element = r.out_type(0).element();
  r.give(0, r.has(0) ? Datum::some(element, r.datum(0)) : Datum::none(element));
}

}  // namespace

const Room& optional() {
  static const Room room = make_room<OptionalOf>({
      .onnx = {"Optional", 15},
      .arity = {0, 1},
      .attributes = {{"type", &OptionalOf::type}},
      .infer = infer,
      .reference = ESP_REFERENCE(OptionalOf, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<OptionalOf>,
      .axes = ties_nothing<OptionalOf>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {OperandSpec::of({2, 3})}},
                  {{sequence_of(UnrankedType{DType::f32})}, {}},
                  {{}, {OperandSpec::sequence({2})}}},
  });
  return room;
}

}  // namespace espalier::ops

// ConcatFromSequence, ONNX opset 11: the items side by side along an axis, or one behind the other
// along a new one.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

struct ConcatFromSequence {
  int64_t axis = 0;
  bool new_axis = false;
};

Types infer(const ConcatFromSequence& a, const TypesIn& in) {
  const Type& element = sequence_element(in, 0);
  if (!element_type_of(element))
    in.fail("operand 0 is " + to_string(in.type(0)) + ", a sequence of tensors is needed");
  if (!element.is_tensor()) return {element};
  TensorType out = element.tensor();
  const int64_t rank = out.rank() + (a.new_axis ? 1 : 0);
  const auto axis = normal_axis(a.axis, rank, in.where());
  if (a.new_axis)
    out.dims.insert(out.dims.begin() + axis, Dim::unknown());
  else
    out.dims[size_t(axis)] = Dim::unknown();
  return {std::move(out)};
}

template <class Real>
void reference(const ConcatFromSequence& a, Ref<Real>& r) {
  r.give(0, concatenated(r.datum(0).items(), a.axis, a.new_axis, "ConcatFromSequence"));
}

}  // namespace

const Room& concat_from_sequence() {
  static const Room room = make_room<ConcatFromSequence>({
      .onnx = {"ConcatFromSequence", 11},
      .arity = {1, 1},
      .attributes = {required("axis", &ConcatFromSequence::axis),
                     {"new_axis", &ConcatFromSequence::new_axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(ConcatFromSequence, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<ConcatFromSequence>,
      .axes = ties_nothing<ConcatFromSequence>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{0}, {OperandSpec::sequence({2, 3})}},
                  {{-1, true}, {OperandSpec::sequence({2, 3})}},
                  {{0, true}, {OperandSpec::sequence({})}}},
  });
  return room;
}

}  // namespace espalier::ops

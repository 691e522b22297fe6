// SequenceMap, ONNX opset 17: a body's results for each item of a sequence, as sequences. Further
// sequences go along item by item, tensors are the same for every item, and so are the last
// operands, which the body captures. It means the Loop it expands to.
#include "ir/derive.h"
#include "ops/control/control.h"

namespace espalier::ops {
namespace {

struct SequenceMap {
  GraphRef body;
  int64_t captured = 0;
};

/// What the body takes in one iteration of the loop: items, and operands as they are.
Values body_operands(const SequenceMap& a, Builder& inner, const Values& operands,
                     ValueId iteration) {
  Values given;
  for (size_t i = 0; i < operands.size(); ++i) {
    const bool goes_along = i + size_t(a.captured) < operands.size() &&
                            inner.graph().value(operands[i]).type.is_sequence();
    given.push_back(goes_along ? inner.one("SequenceAt", {operands[i], iteration}) : operands[i]);
  }
  return given;
}

Values expand(const SequenceMap& a, Builder& b, const Values& operands) {
  const Graph& outer = b.graph();
  if (!outer.value(operands[0]).type.is_sequence())
    throw bad_input("SequenceMap", "its first operand is " +
                                       to_string(outer.value(operands[0]).type) +
                                       ", a sequence is needed");
  if (a.captured < 0 || a.captured >= int64_t(operands.size()))
    throw bad_input("SequenceMap", "cannot capture " + std::to_string(a.captured) + " of " +
                                       std::to_string(operands.size()) + " operands");
  if (a.body->inputs().size() != operands.size())
    throw bad_input("SequenceMap", "its body takes " + std::to_string(a.body->inputs().size()) +
                                       " inputs, " + std::to_string(operands.size()) +
                                       " are handed to it");
  // Element types of the results come from the body on its own.
  Graph alone;
  Builder first(alone);
  Values copies;
  for (ValueId v : operands) copies.push_back(alone.add_input("", outer.value(v).type));
  const ValueId zero = first.constant(Tensor::scalar<int64_t>(0));
  Values made = splice(first, *a.body, body_operands(a, first, copies, zero));
  Values accumulated = {b.one("SequenceLength", {operands[0]}), kNoValue};
  Graph g;
  g.name = a.body->name;
  Builder inner(g);
  const ValueId iteration = g.add_input("iteration", TensorType(DType::i64, Shape{}));
  const ValueId going_on = g.add_input("going_on", TensorType(DType::boolean, Shape{}));
  Values so_far, inside;
  for (ValueId v : made) {
    const auto dtype = element_type_of(alone.value(v).type);
    if (!dtype)
      throw bad_input("SequenceMap", "its body gives " + to_string(alone.value(v).type) +
                                         "; only tensors can be collected");
    accumulated.push_back(b.one("SequenceEmpty", {}, {{"dtype", detail::onnx_number(*dtype)}}));
    so_far.push_back(g.add_input("", sequence_of(UnrankedType{*dtype})));
  }
  for (ValueId v : operands) inside.push_back(g.add_input("", outer.value(v).type));
  const Values results = splice(inner, *a.body, body_operands(a, inner, inside, iteration));
  g.add_output(inner.one("Identity", {going_on}));
  for (size_t i = 0; i < results.size(); ++i)
    g.add_output(inner.one("SequenceInsert", {so_far[i], results[i]}));
  accumulated.insert(accumulated.end(), operands.begin(), operands.end());
  return b.op("Loop", accumulated,
              {{"body", std::make_shared<const Graph>(std::move(g))},
               {"captured", int64_t(operands.size())}});
}

/// y = 2 x + t
GraphRef sample_body() {
  Graph g;
  g.name = "adds";
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::unknown(), Dim::unknown()}));
  const ValueId t = g.add_input("t", TensorType(DType::f32, Dims{Dim::unknown()}));
  Builder b(g);
  g.add_output(b.add(b.add(x, x), t));
  return std::make_shared<const Graph>(std::move(g));
}

}  // namespace

const Room& sequence_map() {
  static const Room room = make_room<SequenceMap>({
      .onnx = {"SequenceMap", 17},
      .arity = {1, kVariadic, 1, kVariadic},
      .attributes = {required("body", &SequenceMap::body), {"captured", &SequenceMap::captured}},
      .infer = Derive{},
      .reference = Derive{},
      .gradient = no_gradient_of_control(),
      .cost = Derive{},
      .axes = ties_nothing<SequenceMap>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = needs_growing_memory(),
      .samples = {{{sample_body()}, {OperandSpec::sequence({2, 3}), OperandSpec::of({3})}},
                  {{sample_body(), 1}, {OperandSpec::sequence({1, 2}), OperandSpec::of({2})}}},
  });
  return room;
}

}  // namespace espalier::ops

// espalier.Fused: a region of operators that one kernel shall run, as a graph in an attribute.
//
// Operands are the body's inputs, results its outputs. The region means what its body means: the
// reference interprets it, facets derive from it. Fusing passes make regions, the binder matches
// their bodies against kernels, and a region no kernel serves is expanded back.
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ops/common.h"

namespace espalier::ops {
namespace {

struct Fused {
  GraphRef body;
};

/// The body for given operand types.
Graph typed_body(const Fused& a, const std::vector<Type>& operands) {
  ESP_CHECK(a.body != nullptr, "a fused region has a body");
  Graph g = a.body->compacted();
  bool wide = false;
  for (size_t i = 0; i < operands.size(); ++i) {
    g.mutable_value(g.inputs()[i]).type = operands[i];
    wide = wide || (operands[i].is_tensor() && operands[i].tensor().dtype == DType::f64);
  }
  if (wide) return retyped_floats(g, DType::f64);
  reinfer(g);
  return g;
}

Types infer(const Fused& a, const TypesIn& in) {
  if (!a.body || in.size() != a.body->inputs().size())
    in.fail("has " + std::to_string(in.size()) + " operands, its body takes " +
            std::to_string(a.body ? a.body->inputs().size() : 0));
  std::vector<Type> operands;
  for (size_t i = 0; i < in.size(); ++i) operands.push_back(in.type(i));
  const Graph g = typed_body(a, operands);
  Types results;
  for (ValueId v : g.outputs()) results.push_back(g.value(v).type);
  return results;
}

template <class Real>
void reference(const Fused& a, Ref<Real>& r) {
  std::vector<Type> types;
  std::vector<Tensor> operands;
  for (size_t i = 0; i < r.inputs(); ++i) {
    operands.push_back(r.tensor(i));
    types.emplace_back(TensorType(r.dtype(i), r.shape(i)));
  }
  auto results = interpret(typed_body(a, types), operands);
  for (size_t i = 0; i < results.size(); ++i) r.out_tensor(i) = results[i];
}

Values expand(const Fused& a, Builder& b, const Values& operands) {
  return splice(b, *a.body, operands);
}

/// y = relu(a + 2 b), for the generated tests.
GraphRef sample_body() {
  Graph g;
  const ValueId a = g.add_input("a", TensorType(DType::f32, Shape{2, 3}));
  const ValueId b = g.add_input("b", TensorType(DType::f32, Shape{2, 3}));
  Builder builder(g);
  const ValueId sum = builder.add(a, builder.add(b, b));
  g.add_output(builder.one("LeakyRelu", {sum}));
  return std::make_shared<const Graph>(std::move(g));
}

}  // namespace

const Room& fused() {
  static const Room room = [] {
    // The sample's body is built from other rooms, which are registered before this one.
    RoomOf<Fused> typed{
        .onnx = {"Fused", 1, "espalier"},
        .arity = {1, kVariadic, 1, kVariadic},
        .attributes = {required("body", &Fused::body)},
        .infer = infer,
        .reference = ESP_REFERENCE(Fused, reference),
        .gradient = Derive{},
        .cost = Derive{},
        .axes = Derive{},
        .quantize = Refuse{"regions are made after quantisation"},
        .pointwise = not_pointwise(),
        .expand = expand,
        .emit = Derive{},
        .samples = {{{sample_body()}, {OperandSpec::of({2, 3}), OperandSpec::of({2, 3})}}},
    };
    return make_room<Fused>(std::move(typed));
  }();
  return room;
}

}  // namespace espalier::ops

#include "ir/interpret.h"

#include <map>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/registry.h"

namespace espalier {
namespace {

void check_input(const Value& v, const Tensor& t) {
  const TensorType given(t.dtype(), t.shape());
  if (!v.type.is_tensor() || !refines(given, v.type))
    throw bad_input("input '" + v.name + "'",
                    "is " + to_string(given) + ", the network takes " + to_string(v.type));
}

std::vector<Tensor> run_node(const Graph& g, NodeId id, const std::vector<Tensor>& values) {
  const Node& n = g.node(id);
  std::vector<const Tensor*> operands;
  for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? nullptr : &values[size_t(v)]);
  return run_reference(*n.room, n.attrs, operands, describe(g, id));
}

}  // namespace

std::vector<Tensor> interpret_all(const Graph& g, std::span<const Tensor> inputs) {
  if (inputs.size() != g.inputs().size())
    throw bad_input(g.name, "takes " + std::to_string(g.inputs().size()) + " inputs, " +
                                std::to_string(inputs.size()) + " were given");
  std::vector<Tensor> values(g.value_count());
  for (size_t i = 0; i < inputs.size(); ++i) {
    check_input(g.value(g.inputs()[i]), inputs[i]);
    values[size_t(g.inputs()[i])] = inputs[i];
  }
  for (ValueId v : g.constants()) values[size_t(v)] = *g.value(v).constant;
  for (NodeId id : g.order()) {
    auto results = run_node(g, id, values);
    const auto& outputs = g.node(id).outputs;
    for (size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i] != kNoValue) values[size_t(outputs[i])] = std::move(results.at(i));
  }
  return values;
}

std::vector<Tensor> interpret(const Graph& g, std::span<const Tensor> inputs) {
  auto values = interpret_all(g, inputs);
  std::vector<Tensor> outputs;
  for (ValueId v : g.outputs()) outputs.push_back(values[size_t(v)]);
  return outputs;
}

namespace {

Type retyped(const Type& type, DType dtype) {
  if (!type.is_tensor() || !is_float(type.tensor().dtype)) return type;
  return TensorType(dtype, type.tensor().dims);
}

}  // namespace

Graph retyped_floats(const Graph& original, DType dtype) {
  Graph g = original.compacted();
  for (size_t i = 0; i < g.value_count(); ++i) {
    Value& v = g.mutable_value(ValueId(i));
    v.type = retyped(v.type, dtype);
    if (v.constant && is_float(v.constant->dtype())) v.constant = v.constant->cast(dtype);
  }
  reinfer(g);
  return g;
}

void reinfer(Graph& g, bool fold) {
  const std::vector<NodeId> order = g.order();
  for (NodeId id : order) {
    const Node& n = g.node(id);
    const std::string label = describe(g, id);
    const Types types = infer_types(g, *n.room, n.attrs, n.inputs, label);
    bool known = fold && n.room->deterministic && !n.inputs.empty();
    for (ValueId v : n.inputs) known = known && (v == kNoValue || g.is_constant(v));
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) g.mutable_value(n.outputs[i]).type = types.at(i);
    std::vector<Tensor> results;
    if (fold && n.room->known) {
      // A shape is known from its operand's type; the elements need not be.
      auto result = n.room->known(n.attrs, types_in(g, id));
      if (!result && !known) continue;
      if (result) results.push_back(std::move(*result));
    }
    if (results.empty()) {
      if (!known || n.room->reference.refused()) continue;
      std::vector<const Tensor*> operands;
      for (ValueId v : n.inputs)
        operands.push_back(v == kNoValue ? nullptr : &*g.value(v).constant);
      results = run_reference(*n.room, n.attrs, operands, label);
    }
    const std::vector<ValueId> outputs = n.outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == kNoValue) continue;
      const std::string name = g.value(outputs[i]).name;
      g.rename(outputs[i], g.fresh_name(name + "_folded"));
      g.replace_uses(outputs[i], g.add_constant(name, std::move(results[i])));
    }
    g.erase_node(id);
  }
}

Graph specialised(const Graph& original, std::span<const Shape> shapes) {
  Graph g = original.compacted();
  ESP_CHECK(shapes.size() == g.inputs().size(), "one shape for each input");
  std::map<std::string, int64_t> symbols;
  for (size_t i = 0; i < shapes.size(); ++i) {
    Value& v = g.mutable_value(g.inputs()[i]);
    const TensorType given(v.tensor().dtype, shapes[i]);
    if (!refines(given, v.type))
      throw bad_input("input '" + v.name + "'", "is given as " + to_string(given) +
                                                    ", the network takes " + to_string(v.type));
    for (size_t d = 0; d < shapes[i].size(); ++d) {
      const std::string& name = v.tensor().dims[d].name();
      if (name.empty()) continue;
      auto [it, fresh] = symbols.emplace(name, shapes[i][d]);
      if (!fresh && it->second != shapes[i][d])
        throw bad_input("input '" + v.name + "'",
                        "dimension " + name + " is " + std::to_string(shapes[i][d]) + " here and " +
                            std::to_string(it->second) + " in another input");
    }
    v.type = given;
  }
  reinfer(g, /*fold=*/true);
  g.erase_dead();
  return g.compacted();
}

}  // namespace espalier

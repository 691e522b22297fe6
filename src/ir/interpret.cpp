#include "ir/interpret.h"

#include <map>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/registry.h"

namespace espalier {
namespace {

std::vector<Datum> run_node(const Graph& g, NodeId id, const std::vector<Datum>& values) {
  const Node& n = g.node(id);
  std::vector<const Datum*> operands;
  for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? nullptr : &values[size_t(v)]);
  return run_reference(*n.room, n.attrs, operands, describe(g, id));
}

void check_count(const Graph& g, size_t given) {
  if (given != g.inputs().size())
    throw bad_input(g.name, "takes " + std::to_string(g.inputs().size()) + " inputs, " +
                                std::to_string(given) + " were given");
}

}  // namespace

void check_inputs(const Graph& g, std::span<const Datum> inputs) {
  check_count(g, inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = g.value(g.inputs()[i]);
    if (!fits(inputs[i], v.type))
      throw bad_input("input '" + v.name + "'", "is " + to_string(inputs[i].type()) +
                                                    ", the network takes " + to_string(v.type));
  }
}

std::vector<Datum> interpret_body(const Graph& g, std::span<const Datum> inputs) {
  check_count(g, inputs.size());
  std::vector<Datum> values(g.value_count());
  for (size_t i = 0; i < inputs.size(); ++i) values[size_t(g.inputs()[i])] = inputs[i];
  for (ValueId v : g.constants()) values[size_t(v)] = *g.value(v).constant;
  for (NodeId id : g.order()) {
    auto results = run_node(g, id, values);
    const auto& outputs = g.node(id).outputs;
    for (size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i] != kNoValue) values[size_t(outputs[i])] = std::move(results.at(i));
  }
  std::vector<Datum> outputs;
  for (ValueId v : g.outputs()) outputs.push_back(values[size_t(v)]);
  return outputs;
}

std::vector<Datum> interpret_data(const Graph& g, std::span<const Datum> inputs) {
  check_inputs(g, inputs);
  return interpret_body(g, inputs);
}

std::vector<Tensor> interpret(const Graph& g, std::span<const Tensor> inputs) {
  return to_tensors(interpret_data(g, to_data(inputs)), g.name);
}

namespace {

Type retyped(const Type& type, DType dtype) {
  if (type.is_sequence()) return sequence_of(retyped(type.element(), dtype));
  if (type.is_optional()) return optional_of(retyped(type.element(), dtype));
  if (!is_float(*element_type_of(type))) return type;
  return type.is_unranked() ? Type(UnrankedType{dtype})
                            : Type(TensorType(dtype, type.tensor().dims));
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

namespace {

/// Larger results of a folded chain (a constant filled to a computed shape) stay computations.
constexpr int64_t kLargestFold = 1 << 16;

bool is_integral(DType d) { return d == DType::i64 || d == DType::i32 || d == DType::boolean; }

/// Results of a node that belongs to a shape computation and can be evaluated now, or nothing. Such
/// chains begin at shapes; they work on integers or on what was `folded` before. Weights and what
/// is computed from them are left to the passes.
std::vector<Tensor> shape_results(const Graph& g, NodeId id, const std::vector<bool>& folded) {
  const Node& n = g.node(id);
  if (n.room->known)
    if (auto t = n.room->known(n.attrs, types_in(g, id))) return {std::move(*t)};
  if (!n.room->foldable() || n.inputs.empty()) return {};
  std::vector<const Tensor*> operands;
  bool from_shapes = false;
  for (ValueId v : n.inputs) {
    if (v != kNoValue && !g.is_constant(v)) return {};
    from_shapes = from_shapes || (v != kNoValue && size_t(v) < folded.size() && folded[size_t(v)]);
    operands.push_back(v == kNoValue ? nullptr : &*g.value(v).constant);
  }
  bool integers = true;
  for (ValueId v : n.outputs) {
    if (v == kNoValue) continue;
    const Type& t = g.value(v).type;
    if (!element_type_of(t)) return {};
    integers = integers && is_integral(*element_type_of(t));
    if (t.is_static() && t.tensor().numel() > kLargestFold) return {};
  }
  if (!integers && !from_shapes) return {};
  return run_reference(*n.room, n.attrs, operands, describe(g, id));
}

}  // namespace

void reinfer(Graph& g, bool fold) {
  const std::vector<NodeId> order = g.order();
  std::vector<bool> folded;
  for (NodeId id : order) {
    const Node& n = g.node(id);
    const Types types = infer_types(g, *n.room, n.attrs, n.inputs, describe(g, id));
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.outputs[i] == kNoValue) continue;
      if (i >= types.size())
        throw bad_input(describe(g, id), "has a result number " + std::to_string(i + 1) +
                                             ", its operator gives " +
                                             std::to_string(types.size()) + " here");
      g.mutable_value(n.outputs[i]).type = types[i];
    }
    if (!fold) continue;
    std::vector<Tensor> results = shape_results(g, id, folded);
    if (results.empty()) continue;
    const std::vector<ValueId> outputs = n.outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == kNoValue) continue;
      const std::string name = g.value(outputs[i]).name;
      g.rename(outputs[i], g.fresh_name(name + "_folded"));
      const ValueId constant = g.add_constant(name, std::move(results.at(i)));
      g.replace_uses(outputs[i], constant);
      folded.resize(g.value_count(), false);
      folded[size_t(constant)] = true;
    }
    g.erase_node(id);
  }
}

Graph with_input_types(const Graph& original, std::span<const Type> types) {
  Graph g = original.compacted();
  ESP_CHECK(types.size() == g.inputs().size(), "one type for each input");
  for (size_t i = 0; i < types.size(); ++i) g.mutable_value(g.inputs()[i]).type = types[i];
  do {
    reinfer(g, /*fold=*/true);
  } while (inline_bodies(g) > 0);
  g.erase_dead();
  return g.compacted();
}

Graph specialised(const Graph& g, std::span<const Shape> shapes) {
  ESP_CHECK(shapes.size() == g.inputs().size(), "one shape for each input");
  std::map<std::string, int64_t> symbols;
  std::vector<Type> types;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Value& v = g.value(g.inputs()[i]);
    const auto dtype = element_type_of(v.type);
    if (!dtype)
      throw unsupported("input '" + v.name + "'",
                        "is " + to_string(v.type) + ", a tensor of fixed shape is needed");
    const TensorType given(*dtype, shapes[i]);
    if (!refines(given, v.type))
      throw bad_input("input '" + v.name + "'", "is given as " + to_string(given) +
                                                    ", the network takes " + to_string(v.type));
    types.emplace_back(given);
    for (size_t d = 0; v.type.is_tensor() && d < shapes[i].size(); ++d) {
      const std::string& name = v.tensor().dims[d].name();
      if (name.empty()) continue;
      auto [it, fresh] = symbols.emplace(name, shapes[i][d]);
      if (!fresh && it->second != shapes[i][d])
        throw bad_input("input '" + v.name + "'",
                        "dimension " + name + " is " + std::to_string(shapes[i][d]) + " here and " +
                            std::to_string(it->second) + " in another input");
    }
  }
  return with_input_types(g, types);
}

}  // namespace espalier

// Operators with bodies: what their bodies are given, and the batched Scan of opset 8.
#include <algorithm>
#include <array>

#include "onnx/adapt.h"
#include "onnx/onnx_proto.h"

namespace espalier {
namespace {

/// The type without what may differ from one iteration to the next.
Type of_any_extents(const Type& type) {
  if (!type.is_tensor()) return type;
  return TensorType(type.tensor().dtype, Dims(type.tensor().dims.size(), Dim::unknown()));
}

std::optional<Type> without_axes(const Type& type, size_t axes) {
  if (!type.is_tensor() || type.tensor().dims.size() < axes) return std::nullopt;
  return TensorType(type.tensor().dtype, Dims(type.tensor().dims.size() - axes, Dim::unknown()));
}

int64_t int_attribute(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& a : node.attribute())
    if (a.name() == name) return a.i();
  return 0;
}

// Scan of opset 8: operands carry a batch axis before everything else, and lengths of each sequence
// before that. It is a loop over the batch around a Scan.
std::optional<Values> scan_of_batches(Call& c) {
  if (c.has(0)) c.refuse("scans sequences of different lengths", "export with opset 9 or newer");
  const auto body = c.attrs.find("body");
  if (body == c.attrs.end() || !std::holds_alternative<GraphRef>(body->second))
    c.malformed("attribute 'body' is missing");
  const auto scans = c.take_int("num_scan_inputs");
  if (!scans) c.malformed("attribute 'num_scan_inputs' is missing");
  AttributeMap inner_attributes = {{"body", body->second}, {"num_scan_inputs", *scans}};
  if (const auto directions = c.take_ints("directions"))
    inner_attributes["scan_input_directions"] = *directions;
  const int64_t captured = int64_t(c.captured);
  if (captured > 0) inner_attributes["captured"] = captured;
  if (c.inputs.size() <= c.captured + 1) c.malformed("has no operands");
  const Values operands(c.inputs.begin() + 1, c.inputs.end());
  if (std::ranges::count(operands, kNoValue) > 0) c.malformed("leaves an operand out");
  Graph g;
  g.name = "batch";
  Builder inner(g);
  const ValueId at = g.add_input("at", TensorType(DType::i64, Shape{}));
  const ValueId going_on = g.add_input("going_on", TensorType(DType::boolean, Shape{}));
  Values given;
  for (size_t i = 0; i < operands.size(); ++i) {
    const ValueId own = g.add_input("", c.b.graph().value(operands[i]).type);
    const bool batched = i + c.captured < operands.size();
    given.push_back(batched ? inner.one("Gather", {own, at}) : own);
  }
  const Values results = inner.op("Scan", given, inner_attributes);
  g.add_output(inner.one("Identity", {going_on}));
  for (ValueId v : results) g.add_output(v);
  const ValueId batch = c.b.one(
      "Gather", {c.b.one("Shape", {operands[0]}), c.b.constant(Tensor::scalar<int64_t>(0))});
  Values all = {batch, kNoValue};
  all.insert(all.end(), operands.begin(), operands.end());
  return c.b.op("Loop", all,
                {{"body", std::make_shared<const Graph>(std::move(g))},
                 {"captured", int64_t(operands.size())}},
                c.name);
}

constexpr std::array kAdapters = {
    Adapter{"Scan", 8, 9, scan_of_batches},
};

}  // namespace

std::span<const Adapter> control_adapters() { return kAdapters; }

std::string body_taken(const Call& call) {
  if (call.op != "If" || !call.domain.empty() || !call.has(0)) return "";
  const auto& condition = call.b.graph().value(call.inputs[0]).constant;
  if (!condition || condition->dtype() != DType::boolean || condition->size() != 1) return "";
  return condition->int_at(0) != 0 ? "then_branch" : "else_branch";
}

std::vector<std::optional<Type>> body_input_types(const Call& call, const onnx::NodeProto& node,
                                                  size_t inputs) {
  std::vector<std::optional<Type>> types(inputs);
  const auto operand = [&](size_t i) -> std::optional<Type> {
    if (!call.has(i)) return std::nullopt;
    return call.b.graph().value(call.inputs[i]).type;
  };
  for (size_t i = 0; i < inputs; ++i) {
    if (call.op == "Loop") {
      if (i < 2)
        types[i] = TensorType(i == 0 ? DType::i64 : DType::boolean, Dims{});
      else if (const auto t = operand(i))
        types[i] = of_any_extents(*t);
    } else if (call.op == "Scan") {
      const size_t lead = call.opset < 9 ? 1 : 0;  // sequence lengths, and a batch axis
      const auto t = operand(i + lead);
      const auto scans = size_t(std::max<int64_t>(0, int_attribute(node, "num_scan_inputs")));
      const bool scanned = i + scans >= inputs;
      if (t) types[i] = without_axes(*t, lead + (scanned ? 1 : 0));
    } else if (call.op == "SequenceMap") {
      const auto t = operand(i);
      if (t) types[i] = of_any_extents(t->is_sequence() ? t->element() : *t);
    }
  }
  return types;
}

}  // namespace espalier

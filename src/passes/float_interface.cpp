#include "passes/float_interface.h"

#include <algorithm>
#include <optional>

#include "bind/contraction.h"
#include "ir/builder.h"
#include "ir/room.h"

namespace espalier {
namespace {

using bind::QuantParams;

bool narrow(const Graph& g, ValueId v) {
  const Type& type = g.value(v).type;
  if (!type.is_tensor()) return false;
  const DType d = type.tensor().dtype;
  return d == DType::i8 || d == DType::u8 || d == DType::i16 || d == DType::u16;
}

/// The node gives its first operand's elements, of the same coding.
bool moves(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->quantize.answered() || n.outputs.size() != 1 || n.inputs.empty()) return false;
  const QuantForm form = (*n.room->quantize)(n.attrs, types_in(g, id));
  return form.result == QuantForm::Result::kSameAsInput && form.activations == std::vector{0} &&
         narrow(g, n.inputs[0]) && narrow(g, n.outputs[0]);
}

std::optional<QuantParams> single(const Graph& g, NodeId id) {
  auto q = bind::quantization_of(g, id);
  return q && q->scales.size() == 1 ? q : std::nullopt;
}

bool agree(const QuantParams& a, const QuantParams& b) {
  return a.scales == b.scales && a.zero_points == b.zero_points;
}

/// How readers of `v` understand its integers; nothing where some do not, or differently.
std::optional<QuantParams> coding_of_readers(const Graph& g, ValueId v) {
  std::optional<QuantParams> found;
  for (NodeId id : g.order()) {
    if (std::ranges::count(g.node(id).inputs, v) == 0) continue;
    const auto coding = moves(g, id) ? coding_of_readers(g, g.node(id).outputs[0]) : single(g, id);
    if (!coding || (found && !agree(*found, *coding))) return std::nullopt;
    found = coding;
  }
  return found;
}

/// How the integers of `v` were made.
std::optional<QuantParams> coding_of_source(const Graph& g, ValueId v) {
  const NodeId id = g.value(v).producer;
  if (id == kNoNode) return std::nullopt;
  return moves(g, id) ? coding_of_source(g, g.node(id).inputs[0]) : single(g, id);
}

Values operands(Builder& b, ValueId v, const QuantParams& q, DType type) {
  return {v, b.constant(Tensor::scalar(q.scales[0])),
          b.constant(Tensor::scalar(int64_t(q.zero_points[0])).cast(type))};
}

}  // namespace

Graph with_float_interface(const Graph& graph) {
  Graph g = graph.compacted();
  Builder b(g);
  const std::vector<ValueId> inputs(g.inputs().begin(), g.inputs().end());
  for (ValueId v : inputs) {
    const auto coding = narrow(g, v) ? coding_of_readers(g, v) : std::nullopt;
    if (!coding || std::ranges::count(g.outputs(), v) > 0) continue;
    TensorType type = g.value(v).tensor();
    const DType stored = type.dtype;
    std::vector<NodeId> readers;
    for (NodeId id : g.order())
      if (std::ranges::count(g.node(id).inputs, v) > 0) readers.push_back(id);
    type.dtype = DType::f32;
    g.mutable_value(v).type = type;
    const ValueId q = b.one("QuantizeLinear", operands(b, v, *coding, stored));
    for (NodeId id : readers) std::ranges::replace(g.mutable_node(id).inputs, v, q);
  }
  std::vector<ValueId> outputs(g.outputs().begin(), g.outputs().end());
  for (ValueId& v : outputs) {
    const auto coding = narrow(g, v) ? coding_of_source(g, v) : std::nullopt;
    if (!coding) continue;
    const std::string name = g.value(v).name;
    const ValueId real =
        b.one("DequantizeLinear", operands(b, v, *coding, g.value(v).tensor().dtype));
    g.rename(v, g.fresh_name(name + "_quantized"));
    g.rename(real, name);
    v = real;
  }
  g.set_outputs(outputs);
  g.sort();
  return g.compacted();
}

}  // namespace espalier

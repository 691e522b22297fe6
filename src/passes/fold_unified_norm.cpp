// Unified normalisation without statistics of its own. In inference y = a x + c for each channel,
// with a = scale / sqrt(running + epsilon) and c = bias: where nothing but linear layers with
// constant weights reads y, their weights and biases take it,
//   (a x + c) W + b = x (diag(a) W) + (c W + b),
// so that nothing is left of the normalisation (Yang et al., arXiv:2208.01313, section 3.1);
// elsewhere it becomes a multiplication and an addition. In a training step it and its gradient are
// written in elementary operators, which fuse with what stands around them.
#include <algorithm>
#include <cmath>

#include "bind/attention_nodes.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/patch.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

struct Affine {
  std::vector<double> a, c;  // per channel
};

/// Nothing where its operands are not known, or it trains.
std::optional<Affine> affine_of(const Graph& g, const Node& n) {
  const AttributeMap attributes = n.room->print(n.attrs, true);
  if (std::get<int64_t>(attributes.at("training_mode")) != 0) return std::nullopt;
  for (size_t i = 1; i < 4; ++i)
    if (!g.is_constant(n.inputs[i])) return std::nullopt;
  const auto at = [&](size_t slot, int64_t i) { return g.value(n.inputs[slot]).constant->at(i); };
  const double epsilon = std::get<float>(attributes.at("epsilon"));
  Affine f;
  for (int64_t i = 0; i < g.value(n.inputs[1]).constant->size(); ++i) {
    f.a.push_back(at(1, i) / std::sqrt(at(3, i) + epsilon));
    f.c.push_back(at(2, i));
  }
  return f;
}

Tensor from_doubles(Shape shape, const std::vector<double>& values, DType dtype) {
  return Tensor::from<double>(std::move(shape), std::span<const double>(values)).cast(dtype);
}

/// y W with W [C, out] or, transposed, [out, C].
struct Layer {
  NodeId node = kNoNode;
  bool transposed = false;
  bool has_bias_slot = false;  ///< operand 2 is a bias
};

std::optional<Layer> layer_of(const Graph& g, NodeId id, ValueId y, size_t channels) {
  const Node& n = g.node(id);
  Layer layer{id, false, false};
  if (bind::is_named(g, id, "Gemm")) {
    layer.has_bias_slot = true;
    const AttributeMap set = n.room->print(n.attrs, false);
    for (const auto& [name, value] : set) {
      if (name != "transB") return std::nullopt;
      layer.transposed = true;
    }
  } else if (!bind::is_named(g, id, "MatMul")) {
    return std::nullopt;
  }
  if (n.inputs[0] != y || n.inputs[1] == y || !g.is_constant(n.inputs[1])) return std::nullopt;
  const Tensor& w = *g.value(n.inputs[1]).constant;
  if (w.rank() != 2 || w.shape()[layer.transposed ? 1 : 0] != int64_t(channels))
    return std::nullopt;
  if (layer.has_bias_slot && n.inputs.size() > 2 && n.inputs[2] != kNoValue) {
    const auto& bias = g.value(n.inputs[2]).constant;
    if (!bias || bias->rank() != 1 || bias->size() != w.shape()[layer.transposed ? 0 : 1])
      return std::nullopt;
  }
  return layer;
}

/// The layers that read y, if nobody else does.
std::vector<Layer> layers_behind(const Graph& g, const Readers& readers, ValueId y,
                                 size_t channels) {
  std::vector<Layer> layers;
  int reads = 0;
  for (NodeId id : g.order()) {
    const auto& in = g.node(id).inputs;
    if (std::ranges::find(in, y) == in.end()) continue;
    const auto layer = layer_of(g, id, y, channels);
    if (!layer) return {};
    layers.push_back(*layer);
    ++reads;
  }
  if (reads != readers.count(y)) return {};  // an output of the graph as well
  return layers;
}

/// The addition of a known vector of `size` elements to v, where it is v's only reader.
struct Addition {
  NodeId node = kNoNode;
  ValueId vector = kNoValue;
};
Addition addition_to(const Graph& g, const Readers& readers, ValueId v, int64_t size) {
  const NodeId id = readers.only(v);
  if (!bind::is_named(g, id, "Add")) return {};
  const auto& in = g.node(id).inputs;
  const ValueId other = in[in[0] == v ? 1 : 0];
  if (!g.is_constant(other) || g.value(other).constant->shape() != Shape{size}) return {};
  return {id, other};
}

void fold_into_layer(Graph& g, const Readers& readers, ValueId x, const Affine& f,
                     const Layer& layer) {
  const Node n = g.node(layer.node);
  const Value& weight = g.value(n.inputs[1]);
  const Tensor wide = weight.constant->cast(DType::f64);
  const DType type = weight.constant->dtype();
  const auto channels = int64_t(f.a.size());
  const int64_t outputs = wide.size() / std::max<int64_t>(1, channels);
  std::vector<double> w(size_t(wide.size())), bias(size_t(outputs), 0);
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t o = 0; o < outputs; ++o) {
      const int64_t at = layer.transposed ? o * channels + c : c * outputs + o;
      w[size_t(at)] = f.a[size_t(c)] * wide.data<double>()[at];
      bias[size_t(o)] += f.c[size_t(c)] * wide.data<double>()[at];
    }
  const auto add_known = [&](ValueId v) {
    for (int64_t o = 0; o < outputs; ++o) bias[size_t(o)] += g.value(v).constant->at(o);
  };
  const ValueId result = n.outputs[0];
  const Addition addition =
      layer.has_bias_slot ? Addition{} : addition_to(g, readers, result, outputs);
  Values inputs = {x, g.add_constant(g.fresh_name(weight.name + "_folded"),
                                     from_doubles(wide.shape(), w, type), weight.role)};
  if (layer.has_bias_slot && n.inputs.size() > 2 && n.inputs[2] != kNoValue) add_known(n.inputs[2]);
  if (addition.node != kNoNode) add_known(addition.vector);
  const ValueId known = g.add_constant(g.fresh_name(weight.name + "_offset"),
                                       from_doubles({outputs}, bias, type), weight.role);
  if (layer.has_bias_slot) inputs.push_back(known);
  Patch patch(g);
  Builder& b = patch.builder();
  ValueId y = b.op(*n.room, n.attrs, inputs, n.name)[0];
  if (!layer.has_bias_slot) y = b.add(y, known);
  patch.shunt(addition.node == kNoNode ? result : g.node(addition.node).outputs[0], y);
  patch.apply();
}

void replace_by_affine(Graph& g, const Node& n, const Affine& f) {
  const DType type = g.value(n.inputs[0]).tensor().dtype;
  const Shape shape = {int64_t(f.a.size())};
  Patch patch(g);
  Builder& b = patch.builder();
  const ValueId a = b.constant(from_doubles(shape, f.a, type));
  const ValueId c = b.constant(from_doubles(shape, f.c, type));
  patch.shunt(n.outputs[0], b.add(b.mul(n.inputs[0], a), c));
  patch.apply();
}

}  // namespace

int fold_unified_norm(Graph& graph) {
  int changed = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node n = graph.node(id);
    const std::string name = n.room->full_name();
    const bool norm = name == "espalier.UnifiedNormalization";
    if (!norm && name != "espalier.UnifiedNormGrad") continue;
    ++changed;
    const auto f = norm ? affine_of(graph, n) : std::nullopt;
    if (!f) {
      expand_in_place(graph, id);
      continue;
    }
    const auto layers = layers_behind(graph, Readers(graph), n.outputs[0], f->a.size());
    for (const Layer& layer : layers)
      fold_into_layer(graph, Readers(graph), n.inputs[0], *f, layer);
    if (layers.empty()) replace_by_affine(graph, n, *f);
  }
  if (changed > 0) graph.erase_dead();
  return changed;
}

}  // namespace espalier::passes

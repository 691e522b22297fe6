// Quantised graphs as tools write them (DequantizeLinear, operator, QuantizeLinear) become regions
// that one integer kernel can run, with activations staying 8 bit between them.
//
// A region is an operator with an integer form whose activations and weights are dequantised right
// before it, what fuse_epilogue would add to it (a bias, a residual, an activation), and the
// quantisation right after, if there is one. The dequantisations are copied into each region that
// reads them. A residual in float is added to products that leave in float.
#include <algorithm>

#include "bind/attention_nodes.h"
#include "ir/builder.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

using bind::producer;

bool dequantised(const Graph& g, ValueId v) {
  return bind::is_named(g, producer(g, v), "DequantizeLinear");
}

std::optional<QuantForm> form_of(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->quantize.answered() || n.outputs.size() != 1 || !tensors_only(g, id))
    return std::nullopt;
  return (*n.room->quantize)(n.attrs, types_in(g, id));
}

/// All operands the integer form needs are dequantised 8-bit values.
bool integer_operands(const Graph& g, NodeId id, const QuantForm& form) {
  const Node& n = g.node(id);
  for (int slot : form.activations)
    if (size_t(slot) >= n.inputs.size() || !dequantised(g, n.inputs[size_t(slot)])) return false;
  return form.weight < 0 || dequantised(g, n.inputs[size_t(form.weight)]);
}

/// A product of two operands, which has no bias of its own.
bool is_product(const Graph& g, NodeId id) {
  return bind::is_named(g, id, "MatMul") ||
         (bind::is_named(g, id, "Gemm") && g.node(id).inputs.size() == 2);
}

/// A parameter of the network: a constant, or what was one before it was trained.
bool is_parameter(const Graph& g, ValueId v) {
  return g.is_constant(v) || g.value(v).role == Role::kParameter;
}

/// A parameter, dequantised or not, with one number for each column of a product's result.
bool is_bias(const Graph& g, ValueId v, ValueId result) {
  const TensorType &type = g.value(v).tensor(), &y = g.value(result).tensor();
  if (type.rank() != 1 || y.rank() < 2 || type.dtype != y.dtype || !(type.dims[0] == y.dims.back()))
    return false;
  return is_parameter(g, v) ||
         (dequantised(g, v) && is_parameter(g, g.node(producer(g, v)).inputs[0]));
}

/// Something computed, of the result's type and not as integers.
bool is_float_residual(const Graph& g, ValueId v, ValueId result) {
  return !g.is_constant(v) && !dequantised(g, v) && g.value(v).tensor() == g.value(result).tensor();
}

/// What is f32 leaves in bf16.
bool narrows(const Graph& g, NodeId id) {
  return bind::is_named(g, id, "Cast") &&
         g.value(g.node(id).inputs[0]).tensor().dtype == DType::f32 &&
         g.value(g.node(id).outputs[0]).tensor().dtype == DType::bf16;
}

/// Some operand is dequantised from a parameter: weights.
bool weighed(const Graph& g, NodeId id) {
  return std::ranges::any_of(g.node(id).inputs, [&](ValueId v) {
    return dequantised(g, v) && is_parameter(g, g.node(producer(g, v)).inputs[0]);
  });
}

/// Gives each reader of a dequantised value a DequantizeLinear of its own, so that regions can take
/// theirs along.
void split_dequantisers(Graph& g) {
  const std::vector<NodeId> order = g.order();
  for (NodeId id : order) {
    const Node n = g.node(id);
    for (size_t slot = 0; slot < n.inputs.size(); ++slot) {
      const ValueId v = g.node(id).inputs[slot];
      if (!dequantised(g, v) || Readers(g).count(v) < 2) continue;
      const Node dq = g.node(producer(g, v));
      Builder b(g);
      const ValueId copy = b.op(*dq.room, dq.attrs, dq.inputs).at(0);
      g.mutable_node(id).inputs[slot] = copy;
    }
  }
  g.sort();
}

struct Region {
  std::vector<NodeId> nodes;
  ValueId result = kNoValue;
};

/// The region around operator `id`, or nothing; it ends before what is taken.
std::optional<Region> region_around(const Graph& g, const Readers& readers,
                                    const std::vector<bool>& taken, NodeId id) {
  const auto form = form_of(g, id);
  if (!form || !integer_operands(g, id, *form)) return std::nullopt;
  Region r;
  r.nodes = {id};
  const auto take_dequantisers = [&](NodeId n) {
    for (ValueId v : g.node(n).inputs)
      if (dequantised(g, v) && readers.only(v) == n) r.nodes.push_back(producer(g, v));
  };
  take_dequantisers(id);
  r.result = g.node(id).outputs[0];
  const bool product = is_product(g, id) && weighed(g, id);
  bool activation = false, residual = false, floats = false;
  // Sums of weights are scaled on their way out: a result nobody stores as integers may leave in
  // float. An integer residual is added to integers only.
  Region bare = r;
  const auto unstored = [&]() -> std::optional<Region> {
    if (!weighed(g, id)) return std::nullopt;
    return residual ? bare : r;
  };
  while (true) {
    const NodeId next = readers.only(r.result);
    if (next == kNoNode || taken[size_t(next)]) return unstored();
    if (bind::is_named(g, next, "QuantizeLinear")) {
      if (floats || g.node(next).inputs[0] != r.result) return unstored();
      r.nodes.push_back(next);
      r.result = g.node(next).outputs[0];
      return r;
    }
    const Node& n = g.node(next);
    if (product && !activation && !residual && !floats && narrows(g, next)) {
      r.nodes.push_back(next);
      r.result = n.outputs[0];
      continue;
    }
    const auto scalar = scalar_of(g, next);
    if (activation || !scalar) return unstored();
    const bool adds = scalar->code == ScalarCode::kAdd && !residual && !floats;
    const ValueId other = adds ? n.inputs[n.inputs[0] == r.result ? 1 : 0] : kNoValue;
    if (operands_of(scalar->code) == 1) {
      activation = true;
    } else if (adds && product && g.node(id).outputs[0] == r.result &&
               is_bias(g, other, r.result)) {
      take_dequantisers(next);
    } else if (adds && product && is_float_residual(g, other, r.result)) {
      floats = true;
    } else if (adds) {
      if (!dequantised(g, other) || readers.only(other) != next) return unstored();
      bare = r;
      residual = true;
      take_dequantisers(next);
    } else {
      return unstored();
    }
    r.nodes.push_back(next);
    r.result = n.outputs[0];
  }
}

}  // namespace

int fuse_integer(Graph& graph) {
  const auto quantised = [&](NodeId id) { return bind::is_named(graph, id, "DequantizeLinear"); };
  if (std::ranges::none_of(graph.order(), quantised)) return 0;
  split_dequantisers(graph);
  const Readers readers(graph);
  std::vector<NodeId> order = graph.order();
  std::vector<size_t> position(graph.node_count());
  for (size_t i = 0; i < order.size(); ++i) position[size_t(order[i])] = i;
  std::vector<bool> taken(graph.node_count(), false);
  int regions = 0;
  for (NodeId id : order) {
    if (taken[size_t(id)]) continue;
    auto region = region_around(graph, readers, taken, id);
    if (!region) continue;
    const auto is_taken = [&](NodeId n) { return taken[size_t(n)]; };
    if (std::ranges::any_of(region->nodes, is_taken)) continue;
    // Of constants alone: folding left it, as its result is larger; lowering computes it.
    const auto from_outside = [&](ValueId v) {
      return v != kNoValue && !graph.is_constant(v) &&
             std::ranges::find(region->nodes, graph.value(v).producer) == region->nodes.end();
    };
    if (std::ranges::none_of(region->nodes, [&](NodeId n) {
          return std::ranges::any_of(graph.node(n).inputs, from_outside);
        }))
      continue;
    for (NodeId n : region->nodes) taken[size_t(n)] = true;
    std::ranges::sort(region->nodes, {}, [&](NodeId n) { return position[size_t(n)]; });
    make_region(graph, region->nodes, std::span(&region->result, 1));
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

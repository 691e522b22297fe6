// Inference batch normalisation behind a contraction whose weights are trained: the factors go into
// the weights by nodes of the graph, computed anew in every step,
//   a = scale / sqrt(var + epsilon),  W' = a W,  b' = bias + a (b - mean),  y = contraction(x, W',
//   b')
// so that one contraction with a bias runs while gradients reach W, b, scale and bias. What the
// normalisation's own gradient would have kept, the contraction's result, is then needed by nobody:
// the factors' gradients are sums over the weights instead of over activations.
// Tune mode of You et al., "Efficient ConvBN Blocks for Transfer Learning and Beyond"
// (arXiv:2305.11624), section 3.3.
#include <algorithm>

#include "ir/builder.h"
#include "ir/patch.h"
#include "ir/room.h"
#include "passes/fold_batch_norm.h"

namespace espalier::passes {
namespace {

bool normalises_by_statistics(const Node& n) {
  return n.room->op.domain.empty() && n.room->op.name == "BatchNormalization" &&
         std::get<int64_t>(n.room->print(n.attrs, true).at("training_mode")) == 0;
}

/// Everything that is computed with has one type; only a bias of one axis can be added to.
bool computable(const Graph& g, const Node& norm, const NormalisedContraction& c) {
  const Node& n = g.node(c.node);
  const DType type = g.value(n.inputs[size_t(c.form.weight)]).tensor().dtype;
  for (size_t i = 1; i < 5; ++i)
    if (g.value(norm.inputs[i]).tensor().dtype != type) return false;
  if (c.bias == kNoValue) return true;
  const TensorType& b = g.value(c.bias).tensor();
  return b.dtype == type && b.rank() == 1;
}

void rewrite(Graph& g, NodeId id, const NormalisedContraction& c) {
  const Node norm = g.node(id), n = g.node(c.node);
  const double epsilon = std::get<float>(norm.room->print(norm.attrs, true).at("epsilon"));
  const ValueId scale = norm.inputs[1], bias = norm.inputs[2], mean = norm.inputs[3],
                var = norm.inputs[4];
  Patch patch(g);
  Builder& b = patch.builder();
  const ValueId root = b.sqrt(b.add(var, epsilon));
  const ValueId a = b.mul(scale, b.div(b.scalar(1, root), root));
  const ValueId w = n.inputs[size_t(c.form.weight)];
  std::vector<int64_t> along(size_t(b.type(w).rank()), 1);
  along[size_t(c.form.weight_axis)] = -1;
  Values inputs = n.inputs;
  inputs[size_t(c.form.weight)] = b.mul(w, b.reshape(a, along));
  inputs.resize(std::max(inputs.size(), size_t(c.form.bias) + 1), kNoValue);
  const ValueId moved = c.bias == kNoValue ? b.neg(mean) : b.sub(c.bias, mean);
  inputs[size_t(c.form.bias)] = b.add(bias, b.mul(a, moved));
  const Values y = b.op(*n.room, n.attrs, inputs, n.name);
  patch.shunt(norm.outputs[0], y[0]);
  patch.apply();
}

}  // namespace

bool foldable_in_training(const Graph& g, const Readers& readers, NodeId norm) {
  const Node& n = g.node(norm);
  if (!tensors_only(g, norm) || !normalises_by_statistics(n)) return false;
  if (g.value(n.inputs[0]).tensor().rank() < 2) return false;
  const auto before = contraction_before(g, readers, norm);
  return before && computable(g, n, *before);
}

int fold_trained_batch_norms(Graph& graph, const NormChoice& chosen) {
  int folded = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Readers readers(graph);
    if (!foldable_in_training(graph, readers, id) || !chosen(graph, id)) continue;
    rewrite(graph, id, *contraction_before(graph, readers, id));
    ++folded;
  }
  if (folded > 0) graph.erase_dead();
  return folded;
}

int fold_trained_batch_norm(Graph& graph) {
  return fold_trained_batch_norms(graph, [](const Graph&, NodeId) { return true; });
}

}  // namespace espalier::passes

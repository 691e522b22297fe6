// Attention, softmax(scale Q K^T + masks) V, becomes one region with the moves around it, so that
// its kernel reads queries, keys and values where they lie, writes the result where it is read, and
// never holds the scores. What is attention is said in bind/attention_form.h.
#include <algorithm>

#include "bind/attention_form.h"
#include "bind/strided_view.h"
#include "ir/derive.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

class Collector {
 public:
  Collector(const Graph& g, const Readers& readers)
      : g_(g), readers_(readers), users_(g.users()), inside_(g.node_count(), false) {}

  /// Whether there is something like attention around the softmax.
  bool collect(NodeId softmax) {
    take(softmax);
    const ValueId weights = g_.node(softmax).outputs[0];
    const NodeId mix = readers_.only(weights);
    if (mix == kNoNode || !bind::is_product(g_, mix) || g_.node(mix).inputs[0] != weights)
      return false;
    take(mix);
    for (ValueId v = g_.node(softmax).inputs[0];;) {
      const NodeId id = g_.value(v).producer;
      if (id == kNoNode || readers_.only(v) == kNoNode) return false;
      take(id, bind::is_product(g_, id));
      if (bind::is_product(g_, id)) break;
      v = bind::scores_operand(g_, id);
      if (v == kNoValue) return false;
    }
    while (take_moves_before()) {
    }
    take_moves_after(g_.node(mix).outputs[0]);
    return true;
  }

  bool inside(NodeId id) const { return inside_[size_t(id)]; }
  std::vector<NodeId> nodes() const {
    std::vector<NodeId> all;
    for (NodeId id : g_.order())
      if (inside(id)) all.push_back(id);
    return all;
  }

 private:
  /// `scalable`: what it reads may be scaled.
  void take(NodeId id, bool scalable = false) {
    inside_[size_t(id)] = true;
    taken_.push_back(id);
    scalable_.push_back(scalable);
  }

  /// Views, and scales of queries and keys, whose results are read inside only. Whether there were
  /// any.
  bool take_moves_before() {
    const size_t before = taken_.size();
    for (size_t i = 0; i < taken_.size(); ++i)
      for (ValueId v : g_.node(taken_[i]).inputs) {
        const NodeId id = v == kNoValue ? kNoNode : g_.value(v).producer;
        if (id == kNoNode || inside(id)) continue;
        const bool moves = bind::is_view(g_, id) && !g_.is_constant(g_.node(id).inputs[0]);
        const bool scales = scalable_[i] && bind::scaled_operand(g_, id) != kNoValue;
        if ((moves || scales) && read_inside_only(id)) take(id, scalable_[i]);
      }
    return taken_.size() > before;
  }

  bool read_inside_only(NodeId id) const {
    return std::ranges::all_of(g_.node(id).outputs, [&](ValueId v) {
      return v == kNoValue ||
             (readers_.count(v) == int(users_[size_t(v)].size()) &&
              std::ranges::all_of(users_[size_t(v)], [&](NodeId n) { return inside(n); }));
    });
  }

  void take_moves_after(ValueId v) {
    while (true) {
      const NodeId next = readers_.only(v);
      if (next == kNoNode || g_.node(next).inputs[0] != v || !bind::moves_all(g_, next)) return;
      take(next);
      v = g_.node(next).outputs[0];
    }
  }

  const Graph& g_;
  const Readers& readers_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> inside_;
  std::vector<NodeId> taken_;
  std::vector<bool> scalable_;  ///< of each of them
};

}  // namespace

int fuse_attention(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  std::vector<bool> taken(graph.node_count(), false);
  int regions = 0;
  for (NodeId id : order) {
    if (taken[size_t(id)] || !bind::is_last_softmax(graph, id)) continue;
    Collector found(graph, readers);
    if (!found.collect(id)) continue;
    const auto nodes = found.nodes();
    if (std::ranges::any_of(nodes, [&](NodeId n) { return taken[size_t(n)]; })) continue;
    const auto form = bind::attention_form(graph, id, [&](NodeId n) { return found.inside(n); });
    if (!std::holds_alternative<bind::AttentionForm>(form)) continue;
    for (NodeId n : nodes) taken[size_t(n)] = true;
    const ValueId result = std::get<bind::AttentionForm>(form).result;
    make_region(graph, nodes, std::span(&result, 1));
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

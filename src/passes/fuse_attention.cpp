// Attention, softmax(scale Q K^T + masks) V, becomes one region with the moves around it, so that
// its kernel reads queries, keys and values where they lie, writes the result where it is read (as
// 8-bit integers where these are all that is read), and never holds the scores. What is attention
// is said in bind/attention_form.h.
#include <algorithm>

#include "bind/attention_form.h"
#include "bind/strided_view.h"
#include "ir/derive.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

/// What may be done to what a node reads, inside.
struct Reads {
  bool scaled = false, dequantised = false;
};

class Collector {
 public:
  Collector(const Graph& g, const Readers& readers)
      : g_(g), readers_(readers), users_(g.users()), inside_(g.node_count(), false) {}

  /// Whether there is something like attention around the softmax.
  bool collect(NodeId softmax) {
    take(softmax);
    ValueId weights = g_.node(softmax).outputs[0];
    NodeId mix = readers_.only(weights);
    if (const NodeId back = read_back_of(mix); back != kNoNode) {
      take(mix);
      take(back);
      weights = g_.node(back).outputs[0];
      mix = readers_.only(weights);
    }
    if (mix == kNoNode || !bind::is_product(g_, mix) || g_.node(mix).inputs[0] != weights)
      return false;
    take(mix, {.dequantised = true});
    for (ValueId v = g_.node(softmax).inputs[0];;) {
      const NodeId id = g_.value(v).producer;
      if (id == kNoNode || readers_.only(v) == kNoNode) return false;
      const bool product = bind::is_product(g_, id);
      take(id, {product, product});
      if (product) break;
      if (const ValueId before = bind::rounded_operand(g_, id); before != kNoValue) {
        const NodeId stores = g_.value(g_.node(id).inputs[0]).producer;
        if (readers_.only(g_.node(stores).outputs[0]) != id) return false;
        take(stores);
        v = before;
        continue;
      }
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
  void take(NodeId id, Reads reads = {}) {
    inside_[size_t(id)] = true;
    taken_.push_back(id);
    reads_.push_back(reads);
  }

  /// The node that reads back what `stores`, a QuantizeLinear, makes, if nobody else does.
  NodeId read_back_of(NodeId stores) const {
    if (stores == kNoNode || !bind::stores(g_, stores)) return kNoNode;
    const NodeId next = readers_.only(g_.node(stores).outputs[0]);
    return bind::rounded_operand(g_, next) == kNoValue ? kNoNode : next;
  }

  /// Views, scales of queries and keys, and dequantisations, whose results are read inside only.
  /// Whether there were any.
  bool take_moves_before() {
    const size_t before = taken_.size();
    for (size_t i = 0; i < taken_.size(); ++i)
      for (ValueId v : g_.node(taken_[i]).inputs) {
        const NodeId id = v == kNoValue ? kNoNode : g_.value(v).producer;
        if (id == kNoNode || inside(id) || !read_inside_only(id)) continue;
        const auto varies = [&] { return !g_.is_constant(g_.node(id).inputs[0]); };
        if (reads_[i].dequantised && bind::reads_back(g_, id) && varies())
          take(id);
        else if (bind::is_view(g_, id) && varies())
          take(id, reads_[i]);
        else if (reads_[i].scaled && bind::scaled_operand(g_, id) != kNoValue)
          take(id, reads_[i]);
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

  /// Moves, one rounding that more of these follow, and last of all a quantisation.
  void take_moves_after(ValueId v) {
    for (bool rounded = false;;) {
      const NodeId next = readers_.only(v);
      if (next == kNoNode || g_.node(next).inputs[0] != v) return;
      const bool stores = g_.value(v).tensor().dtype == DType::f32 && bind::stores(g_, next);
      if (!stores && !bind::moves_all(g_, next)) return;
      take(next);
      v = g_.node(next).outputs[0];
      if (!stores) continue;
      const NodeId back = read_back_of(next);
      if (back == kNoNode || rounded) return;
      const NodeId after = readers_.only(g_.node(back).outputs[0]);
      if (after == kNoNode || (!bind::moves_all(g_, after) && !bind::stores(g_, after))) return;
      take(back);
      v = g_.node(back).outputs[0];
      rounded = true;
    }
  }

  const Graph& g_;
  const Readers& readers_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> inside_;
  std::vector<NodeId> taken_;
  std::vector<Reads> reads_;  ///< of each of them
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
    const std::string name = graph.node(id).name;
    make_region(graph, nodes, std::span(&result, 1), name);
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

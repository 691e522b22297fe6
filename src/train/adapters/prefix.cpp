// Prefix tuning: each attention looks at a few learned keys and values besides those of the tokens
// (Li & Liang 2021, arXiv:2101.00190, section 4.2; trained directly, without the reparametrisation
// of section 4.3). Every query sees them, whatever the mask.
//
// With scores s of the tokens and t = q P_k of the prefix, the result is softmax([s, t]) [V; P_v]:
// written as two products, so that the batch stays open.
#include <algorithm>

#include "base/error.h"
#include "bind/attention_form.h"
#include "ir/builder.h"
#include "ir/room.h"
#include "train/adapter.h"

namespace espalier {
namespace {

struct Attention {
  NodeId softmax, mix;
  ValueId queries, values;
  int64_t heads, size, width, tokens;
};

NodeId reader_of(const Graph& g, ValueId v) {
  NodeId found = kNoNode;
  for (NodeId id : g.order())
    if (std::ranges::count(g.node(id).inputs, v) > 0) {
      if (found != kNoNode) return kNoNode;
      found = id;
    }
  return found;
}

/// The attention around a softmax; false where it is none, or its operands are no heads of a batch.
bool attention_at(const Graph& g, NodeId softmax, Attention& at) {
  if (!bind::is_last_softmax(g, softmax)) return false;
  at.softmax = softmax;
  at.mix = reader_of(g, g.node(softmax).outputs[0]);
  if (at.mix == kNoNode || !bind::is_product(g, at.mix) ||
      g.node(at.mix).inputs[0] != g.node(softmax).outputs[0])
    return false;
  ValueId scores = g.node(softmax).inputs[0];
  for (int steps = 0; steps < 8; ++steps) {
    const NodeId id = g.value(scores).producer;
    if (id == kNoNode) return false;
    if (bind::is_product(g, id)) {
      at.queries = g.node(id).inputs[0];
      at.values = g.node(at.mix).inputs[1];
      const TensorType &q = g.value(at.queries).tensor(), &v = g.value(at.values).tensor();
      if (q.rank() != 4 || v.rank() != 4 || !q.is_static() || !v.is_static()) return false;
      at.heads = q.dims[1].value();
      at.size = q.dims[3].value();
      at.tokens = v.dims[2].value();
      at.width = v.dims[3].value();
      return v.dims[1].is(at.heads);
    }
    const ValueId next = bind::scores_operand(g, id);
    const ValueId further = next == kNoValue ? bind::scaled_operand(g, id) : next;
    if (further == kNoValue) return false;
    scores = further;
  }
  return false;
}

void put_before(Adapting& a, const Attention& at, const std::string& name) {
  constexpr double kDeviation = 0.02;
  const auto length = int64_t(a.setting("length"));
  Graph& g = a.graph();
  Builder b = a.builder();
  const Node softmax = g.node(at.softmax);
  const ValueId weights = softmax.outputs[0], result = g.node(at.mix).outputs[0];
  const ValueId keys = a.parameter(name + ".prefix_keys", {at.heads, at.size, length}, kDeviation);
  const ValueId values =
      a.parameter(name + ".prefix_values", {at.heads, length, at.width}, kDeviation);
  const NodeId first = a.next_node();
  const ValueId scores =
      b.one("Concat", {softmax.inputs[0], b.matmul(at.queries, keys)}, {{"axis", int64_t{-1}}});
  const Values all = b.op(*softmax.room, softmax.attrs, {scores});
  const Values parts =
      b.op("Split", {all[0], b.ints({at.tokens, length})}, {{"axis", int64_t{-1}}});
  a.replace(weights, parts[0], first);
  const NodeId second = a.next_node();
  a.replace(result, b.add(result, b.matmul(parts[1], values)), second);
}

void attach(Adapting& a) {
  if (a.targeted())
    throw bad_input("adapter", "prefixes go into every attention; they take no targets");
  std::vector<Attention> found;
  for (NodeId id : a.typed().order())
    if (Attention at{}; attention_at(a.typed(), id, at)) found.push_back(at);
  if (found.empty())
    throw unsupported(a.graph().name, "has no attention of several heads",
                      "prefixes are learned keys and values of attentions");
  for (size_t i = 0; i < found.size(); ++i)
    put_before(a, found[i], "attention" + std::to_string(i));
  a.graph().erase_dead();
}

}  // namespace

const AdapterUnit& prefix_adapter() {
  static const AdapterUnit unit = {"prefix",
                                   "Li & Liang 2021, arXiv:2101.00190",
                                   "learned keys and values in every attention",
                                   {{"length", 8, 1, 4096, "tokens of the prefix"}},
                                   {},
                                   false,
                                   attach};
  return unit;
}

}  // namespace espalier

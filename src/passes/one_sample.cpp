#include "passes/one_sample.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "passes/open_batch.h"

namespace espalier {

int64_t batch_of(const Graph& g) {
  if (!g.states().empty()) return 0;
  int64_t common = -1;
  for (const auto list : {g.inputs(), g.outputs()})
    for (ValueId v : list) {
      const Type& type = g.value(v).type;
      if (!type.is_tensor() || !type.is_static() || type.tensor().rank() == 0) return 0;
      const int64_t extent = type.tensor().dims[0].value();
      if (common >= 0 && extent != common) return 0;
      common = extent;
    }
  return std::max<int64_t>(0, common);
}

namespace {

/// Follows the batch's axis from the inputs through ties between axes.
class Samplewise {
 public:
  Samplewise(const Graph& g, int64_t count) : g_(g), count_(count) {
    for (ValueId v : g.inputs()) axis_[v] = 0;
  }

  bool all() {
    for (NodeId id : g_.order())
      if (!follow(id)) return false;
    return std::ranges::all_of(g_.outputs(), [&](ValueId v) { return axis_of(v) == 0; });
  }

 private:
  /// -1 where a value holds no samples.
  int axis_of(ValueId v) const {
    const auto at = axis_.find(v);
    return at == axis_.end() ? -1 : at->second;
  }

  static bool draws(const Node& n) {
    const int key = n.room->random_key;
    return key >= 0 && size_t(key) < n.inputs.size() && n.inputs[size_t(key)] != kNoValue;
  }

  /// Gives the node's results their axes; false where samples may meet.
  bool follow(NodeId id) {
    const Node& n = g_.node(id);
    if (!n.room->deterministic || draws(n)) return false;
    const auto holds = [&](ValueId v) { return axis_of(v) >= 0; };
    if (std::ranges::none_of(n.inputs, holds)) return true;
    if (!n.room->axes.answered()) return false;
    const AxisMap map = (*n.room->axes)(n.attrs, types_in(g_, id), types_out(g_, id));
    const auto tie = std::ranges::find_if(map.ties, [&](const AxisTie& t) { return joins(t, n); });
    if (tie == map.ties.end() || tie->reads_whole) return false;
    for (const AxisPlace& p : tie->places)
      if (p.output && size_t(p.slot) < n.outputs.size() && n.outputs[size_t(p.slot)] != kNoValue)
        axis_[n.outputs[size_t(p.slot)]] = p.axis;
    return std::ranges::all_of(n.outputs,
                               [&](ValueId v) { return v == kNoValue || axis_of(v) >= 0; });
  }

  /// Whether the tie joins the samples of all operands that hold some, and nothing else.
  bool joins(const AxisTie& tie, const Node& n) const {
    if (tie.count != count_) return false;
    std::vector<bool> tied(n.inputs.size());
    for (const AxisPlace& p : tie.places) {
      if (p.offset != 0 || p.inner != 1 || p.outer != 1) return false;
      if (p.output) continue;
      if (axis_of(n.inputs[size_t(p.slot)]) != p.axis) return false;
      tied[size_t(p.slot)] = true;
    }
    for (size_t i = 0; i < tied.size(); ++i)
      if (axis_of(n.inputs[i]) >= 0 && !tied[i]) return false;
    return true;
  }

  const Graph& g_;
  const int64_t count_;
  std::map<ValueId, int> axis_;
};

/// `open`, whose batch is a symbol, with a batch of one; nothing where a type is not what it was
/// with the symbol replaced (a Squeeze takes an axis of one away).
std::optional<Graph> with_one(const Graph& open) {
  const Dim symbol = open.value(open.inputs()[0]).tensor().dims[0];
  const auto closed = [&](Type type) {
    if (!type.is_tensor()) return type;
    TensorType t = type.tensor();
    std::ranges::replace(t.dims, symbol, Dim(1));
    return Type(std::move(t));
  };
  Graph one = open;
  for (ValueId v : one.inputs()) {
    Type type = closed(one.value(v).type);
    if (!type.is_static()) return std::nullopt;
    one.mutable_value(v).type = std::move(type);
  }
  try {
    reinfer(one);
  } catch (const UserError&) {
    return std::nullopt;
  }
  for (NodeId id : one.order())
    for (ValueId v : one.node(id).outputs)
      if (v != kNoValue && one.value(v).type != closed(open.value(v).type)) return std::nullopt;
  return one;
}

}  // namespace

std::optional<Samples> as_samples(const Graph& graph) {
  const int64_t count = batch_of(graph);
  if (count < 2 || graph.inputs().empty()) return std::nullopt;
  Graph g = graph;
  reinfer(g, /*fold=*/true);
  g.erase_dead();
  if (!Samplewise(g, count).all()) return std::nullopt;
  try {
    if (auto one = with_one(with_open_batch(g))) return Samples{count, std::move(*one)};
  } catch (const UserError&) {
    // A node that works on this batch alone.
  }
  return std::nullopt;
}

}  // namespace espalier

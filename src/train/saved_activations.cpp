#include "train/saved_activations.h"

#include <algorithm>
#include <map>
#include <set>

#include "ir/derive.h"
#include "train/step_copy.h"
#include "train/storage.h"

namespace espalier {
namespace {

/// Nodes that compute nothing.
bool only_moves(const Graph& g, NodeId n) {
  const Cost cost = cost_of(g, n);
  return cost.macs == 0 && cost.flops == 0;
}

int64_t bytes_of(const Value& v) { return v.tensor().numel() * int64_t(size_of(v.tensor().dtype)); }

/// Where the numbers of a step's saved values come from, and who reads them.
class SavedValues {
 public:
  explicit SavedValues(const StepGraph& s)
      : g_(s.graph), forward_(forward_nodes(s)), read_(read_behind(g_, forward_)) {}

  const std::vector<bool>& forward() const { return forward_; }
  const std::vector<ValueId>& read() const { return read_; }

  /// The operand whose numbers a node of the forward pass merely moves or rounds; else kNoValue.
  ValueId moved(ValueId v) const {
    if (!made_forward(g_, forward_, v)) return kNoValue;
    const NodeId n = g_.value(v).producer;
    const Node& node = g_.node(n);
    const ValueId from = node.inputs.empty() ? kNoValue : node.inputs[0];
    if (node.outputs.size() != 1 || !made_forward(g_, forward_, from)) return kNoValue;
    const auto of_tensor = [&](ValueId x) { return is_float(g_.value(x).tensor().dtype); };
    const bool alone = std::all_of(node.inputs.begin() + 1, node.inputs.end(), [&](ValueId in) {
      return in == kNoValue || g_.is_constant(in);
    });
    return alone && of_tensor(v) && of_tensor(from) && only_moves(g_, n) &&
                   g_.value(v).tensor().numel() == g_.value(from).tensor().numel()
               ? from
               : kNoValue;
  }

  /// The value whose numbers `v` has.
  ValueId origin(ValueId v) const {
    while (moved(v) != kNoValue) v = moved(v);
    return v;
  }

 private:
  const Graph& g_;
  const std::vector<bool> forward_;
  const std::vector<ValueId> read_;
};

/// What is kept where nothing is stored: of numbers that are read in several shapes, one of each
/// element type.
std::map<std::pair<ValueId, DType>, int64_t> kept_as_they_are(const Graph& g,
                                                              const SavedValues& saved) {
  std::map<std::pair<ValueId, DType>, int64_t> kept;
  for (ValueId v : saved.read())
    kept[{saved.origin(v), g.value(v).tensor().dtype}] = bytes_of(g.value(v));
  return kept;
}

class Storing {
 public:
  Storing(const StepGraph& s, const Float8Groups& groups)
      : s_(s), g_(s.graph), saved_(s), groups_(groups), to_(s) {
    choose();
  }

  StoredActivations run() {
    const auto& forward = saved_.forward();
    for (NodeId n : g_.order()) {
      const Node& node = g_.node(n);
      if (forward[size_t(n)]) {
        to_.copy(n, to_.mapped(node.inputs));
        for (ValueId v : node.outputs) store(v);
        continue;
      }
      again_.clear();
      std::vector<ValueId> inputs;
      for (ValueId v : node.inputs) inputs.push_back(needed(v));
      to_.copy(n, inputs);
    }
    StoredActivations result;
    for (const auto& [key, bytes] : kept_as_they_are(g_, saved_)) {
      result.before += bytes;
      if (!kept_.contains(key.first)) result.after += bytes;
    }
    for (const auto& [v, kept] : kept_)
      result.after += kept.as.float8->bytes(g_.value(v).tensor().numel());
    result.values = int64_t(kept_.size());
    result.step = to_.finish();
    return result;
  }

 private:
  struct Kept {
    Storage as;
    Values values = {};  ///< codes and scales in the new graph
  };

  /// Decides which values are stored, and how.
  void choose() {
    const std::vector<bool> late = behind_logits();
    const auto users = g_.users();
    std::map<ValueId, bool> products;  // by origin: whether nothing else reads it
    for (ValueId v : saved_.read())
      for (NodeId n : users[size_t(v)])
        if (!saved_.forward()[size_t(n)]) {
          auto [at, fresh] = products.try_emplace(saved_.origin(v), true);
          at->second = at->second && cost_of(g_, n).macs > 0;
        }
    for (const auto& [v, only_products] : products) {
      const Value& value = g_.value(v);
      Float8Groups groups = groups_;
      if (only_products) groups.length = 0;
      const bool statistic = value.output_index > 0 && !only_moves(g_, value.producer);
      if (is_float(value.tensor().dtype) && !statistic && !late[size_t(value.producer)] &&
          groups.bytes(value.tensor().numel()) < bytes_of(value))
        kept_[v] = {Storage{DType::f32, groups}};
    }
  }

  /// Nodes of the forward pass that make the logits' numbers or read them.
  std::vector<bool> behind_logits() const {
    std::vector<bool> late(g_.node_count(), false);
    for (ValueId v = s_.logits; v != kNoValue; v = saved_.moved(v))
      late[size_t(g_.value(v).producer)] = true;
    for (NodeId n : g_.order())
      for (ValueId v : g_.node(n).inputs)
        if (made_forward(g_, late, v)) late[size_t(n)] = true;
    return late;
  }

  void store(ValueId v) {
    const auto kept = kept_.find(v);
    if (kept == kept_.end()) return;
    Builder b(to_.graph());
    kept->second.values = stored(b, to_.mapped(v), kept->second.as, g_.value(v).name + ":codes");
  }

  /// A value as a node of the backward pass gets it.
  ValueId needed(ValueId v) {
    if (v == kNoValue || !kept_.contains(saved_.origin(v))) return to_.mapped(v);
    const auto [at, fresh] = again_.try_emplace(v, kNoValue);
    if (!fresh) return at->second;
    ValueId made = kNoValue;
    if (const auto kept = kept_.find(v); kept != kept_.end()) {
      Builder b(to_.graph());
      made = read_back(b, kept->second.values, kept->second.as, g_.value(v).tensor().dtype,
                       g_.value(v).name + ":read");
    } else {
      const NodeId n = g_.value(v).producer;
      std::vector<ValueId> inputs = to_.mapped(g_.node(n).inputs);
      inputs[0] = needed(saved_.moved(v));
      made = to_.copy_again(n, inputs)[0];
    }
    return again_[v] = made;
  }

  const StepGraph& s_;
  const Graph& g_;
  const SavedValues saved_;
  const Float8Groups groups_;
  StepCopy to_;
  std::map<ValueId, Kept> kept_;
  std::map<ValueId, ValueId> again_;  ///< what the node that is being copied reads
};

}  // namespace

int64_t saved_bytes(const StepGraph& s) {
  int64_t sum = 0;
  for (const auto& [key, bytes] : kept_as_they_are(s.graph, SavedValues(s))) sum += bytes;
  return sum;
}

StoredActivations storing_activations(const StepGraph& step, const Float8Groups& groups) {
  return Storing(step, groups).run();
}

}  // namespace espalier

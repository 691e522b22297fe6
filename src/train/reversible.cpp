#include "train/reversible.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "train/recompute.h"
#include "train/step_copy.h"

namespace espalier {
namespace {

/// How a term depends on one value alone.
struct Function {
  ValueId of = kNoValue;
  std::vector<ValueId> inside;  ///< what is computed from it up to the term, the term among them
};

/// stream + term.
struct Addition {
  ValueId sum, stream, term;
};

struct Found {
  Addition addition;
  Function function;
};

class Finder {
 public:
  explicit Finder(const StepGraph& s)
      : s_(s),
        g_(s.graph),
        forward_(forward_nodes(s)),
        of_data_(g_.value_count(), false),
        place_(g_.node_count(), 0),
        inverted_(g_.value_count(), false),
        inside_(g_.value_count(), false) {
    of_data_[size_t(s.input)] = true;
    for (const SavedValue& v : saved_values(s)) saved_.insert(g_.find(v.name));
    int at = 0;
    for (NodeId n : g_.order()) {
      place_[size_t(n)] = ++at;
      const Node& node = g_.node(n);
      if (!forward_[size_t(n)] || std::ranges::none_of(node.inputs, [&](ValueId v) {
            return v != kNoValue && of_data_[size_t(v)];
          }))
        continue;
      for (ValueId v : node.outputs)
        if (v != kNoValue) of_data_[size_t(v)] = true;
      add_additions(n);
    }
  }

  /// Each from the last to the first: what a coupling's stream follows from is known before it. No
  /// stream lies inside the function of a coupling found before, which will be computed forward
  /// again: what is inverted would follow from itself. Then those whose stream nobody reads, the
  /// first of their chains: of them the function is computed again.
  std::vector<Found> run() {
    std::vector<Found> found;
    for (const bool read : {true, false})
      for (size_t i = additions_.size(); i-- > 0;) {
        const Addition& a = additions_[i];
        const auto stream = size_t(a.stream);
        if (saved_.contains(a.stream) != read || inverted_[stream] || inside_[stream]) continue;
        auto f = invertible(a, read);
        if (!f) continue;
        inverted_[stream] = read;
        for (ValueId v : f->inside) inside_[size_t(v)] = true;
        found.push_back({a, *std::move(f)});
      }
    std::ranges::sort(found, {}, [&](const Found& f) {
      return place_[size_t(g_.value(f.addition.sum).producer)];
    });
    return found;
  }

  bool inverted(ValueId v) const { return inverted_[size_t(v)]; }
  bool inside(ValueId v) const { return inside_[size_t(v)]; }
  bool of_data(ValueId v) const { return of_data_[size_t(v)]; }
  const std::set<ValueId>& saved() const { return saved_; }

 private:
  /// Either operand may be the stream.
  void add_additions(NodeId n) {
    const Node& node = g_.node(n);
    if (!node.room->pointwise.answered() || node.inputs.size() != 2) return;
    const auto op = (*node.room->pointwise)(node.attrs, types_in(g_, n));
    if (!op || op->code != ScalarCode::kAdd || node.inputs[0] == node.inputs[1]) return;
    for (ValueId v : node.inputs)
      if (!of_data_[size_t(v)] || g_.value(v).type != g_.value(node.outputs[0]).type) return;
    for (size_t k : {0u, 1u}) {
      additions_.push_back({node.outputs[0], node.inputs[k], node.inputs[1 - k]});
      by_sum_[node.outputs[0]].push_back(additions_.back());
    }
  }

  /// The nearest value that `accepted` takes of those that all of `term` goes through, on no way
  /// from which to the term `avoided` lies.
  template <class Accepted>
  std::optional<Function> function_of(ValueId term, ValueId avoided, Accepted accepted) const {
    Function f;
    std::set<std::pair<int, ValueId>> open;  // by the place of the maker
    const auto add = [&](ValueId v) {
      const NodeId made_by = g_.value(v).producer;
      open.emplace(made_by == kNoNode ? 0 : place_[size_t(made_by)], v);
    };
    add(term);
    while (true) {
      const ValueId last = open.rbegin()->second;
      open.erase(std::prev(open.end()));
      if (open.empty() && last != term && accepted(last)) {
        f.of = last;
        return f;
      }
      const NodeId made_by = g_.value(last).producer;
      if (last == avoided || made_by == kNoNode) return std::nullopt;
      f.inside.push_back(last);
      for (ValueId v : g_.node(made_by).inputs)
        if (v != kNoValue && of_data_[size_t(v)]) add(v);
    }
  }

  /// Its partner follows from what comes later, or is the end of the other stream's chain: the sum
  /// of a coupling whose term is a function of this one's stream, where ends are `allowed`.
  std::optional<Function> invertible(const Addition& a, bool allowed) const {
    return function_of(a.term, a.stream, [&](ValueId partner) {
      if (partner == a.stream) return false;
      if (inverted_[size_t(partner)]) return true;
      const auto others = by_sum_.find(partner);
      return allowed && others != by_sum_.end() &&
             std::ranges::any_of(others->second, [&](const Addition& other) {
               return function_of(other.term, other.stream,
                                  [&](ValueId v) { return v == a.stream; })
                   .has_value();
             });
    });
  }

  const StepGraph& s_;
  const Graph& g_;
  const std::vector<bool> forward_;
  std::vector<bool> of_data_;  ///< values that depend on the network's input
  std::vector<int> place_;     ///< of nodes
  std::set<ValueId> saved_;
  std::vector<Addition> additions_;
  std::map<ValueId, std::vector<Addition>> by_sum_;
  std::vector<bool> inverted_, inside_;
};

/// What a step keeps once the couplings found are inverted.
class Keeping {
 public:
  Keeping(const Graph& g, const Finder& finder, const std::vector<Found>& found)
      : g_(g), finder_(finder) {
    for (const Found& f : found) {
      if (!finder.inverted(f.addition.stream)) continue;
      for (ValueId end : {f.addition.sum, f.function.of})
        if (!finder.inverted(end)) kept_.insert(end);
    }
    for (ValueId v : finder.saved())
      if (!finder.inside(v)) keep(v);
  }

  std::set<std::string> names() const {
    std::set<std::string> names;
    for (ValueId v : kept_) names.insert(g_.value(v).name);
    return names;
  }

 private:
  bool at_hand(ValueId v) const { return kept_.contains(v) || finder_.inverted(v); }

  NodeId mover(ValueId v) const {
    const NodeId n = g_.value(v).producer;
    if (n == kNoNode) return kNoNode;
    const Cost cost = cost_of(g_, n);
    return cost.macs == 0 && cost.flops == 0 ? n : kNoNode;
  }

  /// Whether some of it is a copy of what is at hand.
  bool copies(ValueId v) const {
    if (!finder_.of_data(v)) return false;
    if (at_hand(v)) return true;
    const NodeId n = mover(v);
    return n != kNoNode && std::ranges::any_of(g_.node(n).inputs, [&](ValueId from) {
             return from != kNoValue && copies(from);
           });
  }

  /// Of a copy the operands: joined streams need not be kept beside the streams.
  void keep(ValueId v) {
    if (at_hand(v) || (!finder_.of_data(v) && !finder_.saved().contains(v))) return;
    if (!copies(v)) {
      kept_.insert(v);
      return;
    }
    for (ValueId from : g_.node(mover(v)).inputs)
      if (from != kNoValue && g_.value(from).producer != kNoNode) keep(from);
  }

  const Graph& g_;
  const Finder& finder_;
  std::set<ValueId> kept_;
};

int64_t bytes_of(const std::vector<SavedValue>& values) {
  int64_t bytes = 0;
  for (const SavedValue& v : values) bytes += v.bytes;
  return bytes;
}

}  // namespace

std::vector<Coupling> couplings(const StepGraph& s) {
  std::vector<Coupling> all;
  const auto name = [&](ValueId v) { return s.graph.value(v).name; };
  for (const Found& f : Finder(s).run())
    all.push_back({name(f.addition.sum), name(f.addition.stream), name(f.addition.term),
                   name(f.function.of)});
  return all;
}

ReversibleStep reversible(const StepGraph& s) {
  Finder finder(s);
  const std::vector<Found> found = finder.run();
  if (found.empty())
    throw unsupported(s.graph.name,
                      "has no reversible blocks: no y1 = x1 + F(x2) with y2 = x2 + G(y1)",
                      "leave training.reversible out; training.memory computes activations of any "
                      "network again");
  std::map<std::string, Inversion> inverted;
  const auto name = [&](ValueId v) { return s.graph.value(v).name; };
  for (const Found& f : found)
    if (finder.inverted(f.addition.stream))
      inverted[name(f.addition.stream)] = {name(f.addition.sum), name(f.addition.term)};
  ReversibleStep r;
  r.step = keeping(s, Keeping(s.graph, finder, found).names(), inverted);
  r.couplings = int64_t(found.size());
  r.saved_before = bytes_of(saved_values(s));
  r.saved = bytes_of(saved_values(r.step));
  return r;
}

}  // namespace espalier

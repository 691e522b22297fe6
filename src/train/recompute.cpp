#include "train/recompute.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "ir/derive.h"
#include "train/step_copy.h"
#include "train/step_session.h"

namespace espalier {
namespace {

int64_t bytes_of(const Value& v) { return v.tensor().numel() * int64_t(size_of(v.tensor().dtype)); }

/// Through nodes that only move numbers.
double macs_of_maker(const Graph& g, ValueId v) {
  const NodeId n = v == kNoValue ? kNoNode : g.value(v).producer;
  if (n == kNoNode) return 0;
  const Cost cost = cost_of(g, n);
  if (cost.flops > 0 || cost.macs > 0) return cost.macs;
  return g.node(n).inputs.empty() ? 0 : macs_of_maker(g, g.node(n).inputs[0]);
}

/// A step with copies of nodes of the forward pass among those of the backward pass.
class Rewriter {
 public:
  Rewriter(const StepGraph& s, const std::set<std::string>& kept,
           const std::map<std::string, Inversion>& inverted)
      : g_(s.graph),
        inverted_(inverted),
        forward_(forward_nodes(s)),
        to_(s),
        again_(g_.value_count(), kNoValue),
        kept_(g_.value_count(), true) {
    for (NodeId n : g_.order())
      if (forward_[size_t(n)])
        for (ValueId v : g_.node(n).outputs)
          if (v != kNoValue) kept_[size_t(v)] = kept.contains(g_.value(v).name);
    // What the loss leaves behind ties the backward pass to the forward pass: without, it would run
    // first.
    for (ValueId end : {s.loss, s.objective})
      for (ValueId v : g_.node(g_.value(end).producer).outputs)
        if (v != kNoValue) kept_[size_t(v)] = true;
  }

  StepGraph run() {
    copy_states();
    for (NodeId n : g_.order()) {
      std::vector<ValueId> inputs;
      for (ValueId v : g_.node(n).inputs)
        inputs.push_back(forward_[size_t(n)] ? to_.mapped(v) : needed(v));
      to_.copy(n, inputs);
    }
    return to_.finish();
  }

 private:
  /// States that the forward pass moves on, as running statistics, are copied before: what reads
  /// them again would else have to do so before they change.
  void copy_states() {
    Builder b(to_.graph());
    for (const StatePair& p : g_.states())
      if (made_forward(g_, forward_, p.output) && is_float(g_.value(p.input).tensor().dtype)) {
        const std::string& name = g_.value(p.input).name;  // Identity would be folded away
        const Values less =
            b.op("Neg", {to_.mapped(p.input)}, {}, "", {to_.fresh_name(name + ":less")});
        again_[size_t(p.input)] = b.op("Neg", less, {}, "", {to_.fresh_name(name + ":before")})[0];
      }
  }

  /// A value as the backward pass gets it.
  ValueId needed(ValueId v) {
    if (v != kNoValue && g_.value(v).producer == kNoNode && again_[size_t(v)] != kNoValue)
      return again_[size_t(v)];
    if (v == kNoValue || kept_[size_t(v)]) return to_.mapped(v);
    if (again_[size_t(v)] == kNoValue) {
      const std::string& name = g_.value(v).name;
      if (const auto how = inverted_.find(name); how != inverted_.end()) {
        ESP_CHECK(under_way_.insert(v).second, "'" + name + "' follows from itself");
        const Values operands = {needed(g_.find(how->second.sum)),
                                 needed(g_.find(how->second.term))};
        Builder b(to_.graph());
        again_[size_t(v)] = b.op("Sub", operands, {}, "", {to_.fresh_name(name + ":inverted")})[0];
        return again_[size_t(v)];
      }
      const NodeId n = g_.value(v).producer;
      std::vector<ValueId> inputs;
      for (ValueId in : g_.node(n).inputs) inputs.push_back(needed(in));
      const Values &before = g_.node(n).outputs, made = to_.copy_again(n, inputs);
      for (size_t i = 0; i < before.size(); ++i)
        if (before[i] != kNoValue) again_[size_t(before[i])] = made[i];
    }
    return again_[size_t(v)];
  }

  const Graph& g_;
  const std::map<std::string, Inversion>& inverted_;
  const std::vector<bool> forward_;
  StepCopy to_;
  std::vector<ValueId> again_;  ///< by value of the step that is rewritten
  std::vector<bool> kept_;
  std::set<ValueId> under_way_;  ///< inverted, or about to be
};

/// What a value of the forward pass can be made of again.
struct CheapValue {
  const SavedValue* value = nullptr;
  std::set<NodeId> makers;
};

/// What at most so many nodes and no multiply-accumulates make from what is kept beside it, in the
/// order in which it is made.
std::vector<CheapValue> cheap_values(const Graph& g, const std::vector<bool>& forward,
                                     const std::vector<SavedValue>& all, size_t most_nodes) {
  std::map<std::string, const SavedValue*> saved;
  for (const SavedValue& v : all) saved[v.name] = &v;
  // Of each value the nodes that make it of what is kept.
  std::vector<std::set<NodeId>> makers(g.value_count());
  std::vector<CheapValue> cheap;
  for (NodeId n : g.order()) {
    if (!forward[size_t(n)]) continue;
    std::set<NodeId> nodes = {n};
    for (ValueId v : g.node(n).inputs)
      if (v != kNoValue) nodes.insert(makers[size_t(v)].begin(), makers[size_t(v)].end());
    const bool products =
        std::ranges::any_of(nodes, [&](NodeId m) { return cost_of(g, m).macs > 0; });
    for (ValueId v : g.node(n).outputs) {
      if (v == kNoValue) continue;
      const auto it = saved.find(g.value(v).name);
      if (it != saved.end() && (products || nodes.size() > most_nodes)) continue;  // is kept
      makers[size_t(v)] = nodes;
      if (it != saved.end()) cheap.push_back({it->second, nodes});
    }
  }
  return cheap;
}

std::set<std::string> names_of(const std::vector<SavedValue>& values) {
  std::set<std::string> names;
  for (const SavedValue& v : values) names.insert(v.name);
  return names;
}

/// Looks for the step that computes least again.
class Fitting {
 public:
  Fitting(const StepGraph& step, int64_t bytes)
      : step_(step), bytes_(bytes), forward_(forward_nodes(step)), saved_(saved_values(step)) {}

  FittedStep run() {
    FittedStep whole = tried(step_);
    before_ = whole.memory.total();
    if (fits(whole)) return finished(std::move(whole));
    const std::vector<std::string> cheap = largest_cheap();
    if (FittedStep all = without(cheap, cheap.size()); fits(all)) {
      // As few as will do.
      size_t too_few = 0, enough = cheap.size();
      while (enough - too_few > std::max<size_t>(1, cheap.size() / 16)) {
        const size_t middle = (too_few + enough) / 2;
        FittedStep some = without(cheap, middle);
        if (!fits(some)) {
          too_few = middle;
          continue;
        }
        enough = middle;
        all = std::move(some);
      }
      return finished(std::move(all));
    }
    for (const size_t stretches : {32, 24, 16, 12, 8, 6, 4, 3, 2})
      if (FittedStep f = tried(keeping(step_, ends_of(stretches))); fits(f))
        return finished(std::move(f));
    throw UserError(ExitCode::kInfeasible, step_.graph.name,
                    "needs at least " + std::to_string(least_) + " bytes to be trained, " +
                        std::to_string(bytes_) + " are allowed",
                    "a smaller batch needs less");
  }

 private:
  bool fits(const FittedStep& f) const { return f.memory.total() <= bytes_; }

  FittedStep tried(StepGraph step) {
    FittedStep f;
    f.memory = StepSession(step).memory();
    f.step = std::move(step);
    least_ = least_ == 0 ? f.memory.total() : std::min(least_, f.memory.total());
    return f;
  }

  FittedStep without(const std::vector<std::string>& values, size_t count) {
    std::set<std::string> kept = names_of(saved_);
    for (size_t i = 0; i < count; ++i) kept.erase(values[i]);
    return tried(keeping(step_, kept));
  }

  /// The names of what few nodes make again, the largest first.
  std::vector<std::string> largest_cheap() const {
    constexpr size_t kMostNodes = 8;
    std::vector<CheapValue> cheap = cheap_values(step_.graph, forward_, saved_, kMostNodes);
    std::ranges::stable_sort(cheap, std::greater<>(),
                             [](const CheapValue& c) { return c.value->bytes; });
    std::vector<std::string> names;
    for (const CheapValue& c : cheap) names.push_back(c.value->name);
    return names;
  }

  /// Names of what crosses the narrowest places near the ends of stretches of equal bytes.
  std::set<std::string> ends_of(size_t stretches) const {
    const Graph& g = step_.graph;
    std::vector<NodeId> order;
    std::map<NodeId, size_t> place;
    for (NodeId n : g.order())
      if (forward_[size_t(n)]) {
        place[n] = order.size();
        order.push_back(n);
      }
    // A value crosses the places from its maker to its last reader.
    const auto users = g.users();
    std::vector<std::vector<ValueId>> crossing(order.size());
    std::vector<double> width(order.size(), 0), made(order.size(), 0);
    double total = 0;
    for (size_t i = 0; i < order.size(); ++i)
      for (ValueId v : g.node(order[i]).outputs) {
        if (v == kNoValue || !g.value(v).type.is_tensor()) continue;
        size_t last = i;
        for (NodeId reader : users[size_t(v)])
          if (const auto at = place.find(reader); at != place.end())
            last = std::max(last, at->second);
        const double bytes = double(bytes_of(g.value(v)));
        made[i] += bytes;
        total += bytes;
        for (size_t k = i; k < last; ++k) {
          crossing[k].push_back(v);
          width[k] += bytes;
        }
      }
    std::set<std::string> kept;
    const double stretch = total / double(stretches), reach = stretch / 4;
    double so_far = 0, end = stretch;
    size_t narrowest = order.size();
    for (size_t i = 0; i < order.size(); ++i) {
      so_far += made[i];
      if (so_far < end - reach) continue;
      if (narrowest == order.size() || width[i] < width[narrowest]) narrowest = i;
      if (so_far < end + reach) continue;
      for (ValueId v : crossing[narrowest]) kept.insert(g.value(v).name);
      narrowest = order.size();
      end = so_far + stretch - reach;
    }
    return kept;
  }

  FittedStep finished(FittedStep f) const {
    f.before = before_;
    f.again = int64_t(f.step.graph.order().size()) - int64_t(step_.graph.order().size());
    double again = 0, forward = 0;
    for (NodeId n : f.step.graph.order()) again += cost_of(f.step.graph, n).macs;
    for (NodeId n : step_.graph.order()) {
      const double macs = cost_of(step_.graph, n).macs;
      again -= macs;
      if (forward_[size_t(n)]) forward += macs;
    }
    f.extra = forward > 0 ? again / forward : 0;
    return f;
  }

  const StepGraph& step_;
  const int64_t bytes_;
  const std::vector<bool> forward_;
  const std::vector<SavedValue> saved_;
  int64_t before_ = 0, least_ = 0;
};

}  // namespace

std::vector<SavedValue> saved_values(const StepGraph& s) {
  std::vector<SavedValue> saved;
  for (ValueId v : read_behind(s.graph, forward_nodes(s))) {
    const Value& value = s.graph.value(v);
    saved.push_back({value.name, bytes_of(value), macs_of_maker(s.graph, v)});
  }
  return saved;
}

StepGraph keeping(const StepGraph& step, const std::set<std::string>& values,
                  const std::map<std::string, Inversion>& inverted) {
  return Rewriter(step, values, inverted).run();
}

StepGraph sparing(const StepGraph& step) {
  // On two cores of Zen 4 GELU reads or writes a byte while products do 4 multiply-accumulates.
  constexpr double kMacsPerByte = 4, kMostOfStep = 0.02;
  constexpr size_t kMostNodes = 5;
  constexpr int64_t kLeastBytes = 1 << 19;  // of one value
  const Graph& g = step.graph;
  double left = 0;
  for (NodeId n : g.order()) left += kMostOfStep * cost_of(g, n).macs;
  const auto cost_of_making = [&](const std::set<NodeId>& nodes) {
    double sum = 0;
    for (NodeId n : nodes) sum += std::max(kMacsPerByte * cost_of(g, n).bytes, cost_of(g, n).flops);
    return sum;
  };
  const std::vector<SavedValue> saved = saved_values(step);
  std::vector<CheapValue> cheap = cheap_values(g, forward_nodes(step), saved, kMostNodes);
  std::set<std::string> kept = names_of(saved);
  std::set<NodeId> again;
  while (!cheap.empty()) {
    // What saves most for what it costs beside those before, and of equals what is kept longest.
    const auto worth = [&](CheapValue& c) {
      for (NodeId n : again) c.makers.erase(n);
      return double(c.value->bytes) / std::max(1.0, cost_of_making(c.makers));
    };
    const auto best = std::ranges::max_element(cheap, {}, worth);
    const double cost = cost_of_making(best->makers);
    if (cost <= left && best->value->bytes >= kLeastBytes) {
      left -= cost;
      kept.erase(best->value->name);
      again.insert(best->makers.begin(), best->makers.end());
    }
    cheap.erase(best);
  }
  return again.empty() ? step : keeping(step, kept);
}

FittedStep within_memory(const StepGraph& step, int64_t bytes) {
  return Fitting(step, bytes).run();
}

}  // namespace espalier

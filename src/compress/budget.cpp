#include "compress/budget.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace espalier {
namespace {

/// A class as the greedy choice sees it: groups from least to most salient, cut in chunks.
struct Ranked {
  std::vector<size_t> order;
  size_t cut = 0;    ///< how many of the order are cut
  size_t least = 1;  ///< how many must stay
  size_t multiple = 1;

  size_t kept() const { return order.size() - cut; }
  /// Groups the next cut takes; 0 when no more may go.
  size_t chunk() const {
    if (kept() <= least) return 0;
    const size_t rest = kept() % multiple;
    const size_t want = rest ? rest : multiple;
    return kept() - want >= least ? want : 0;
  }
};

/// Groups by rising score, those that `keep` drops before all others.
std::vector<size_t> ranking(const std::vector<double>& scores, const std::vector<bool>& keep) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return keep[a] != keep[b] ? !keep[a] : scores[a] < scores[b];
  });
  return order;
}

/// Positions of one group along the constant axis where it takes most.
int64_t span_of(const AxisClasses& classes, const AxisClass& c) {
  int64_t span = 1;
  for (const AxisSlice& s : c.groups[0].slices)
    if (s.produces && classes.graph.is_constant(s.value))
      span = std::max(span, int64_t(s.positions.size()));
  return span;
}

/// How many groups at a time keep the class's width a multiple; 1 for classes too narrow for two.
size_t multiple_of(const AxisClasses& classes, const AxisClass& c, int64_t width_multiple) {
  const auto multiple = size_t(std::max<int64_t>(1, width_multiple / span_of(classes, c)));
  return c.groups.size() >= 2 * multiple ? multiple : 1;
}

size_t rounded_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

class Greedy {
 public:
  Greedy(const AxisClasses& classes, const Saliency& saliency, const CutBudget& budget,
         const Keep& start)
      : classes_(classes), saliency_(saliency), budget_(budget), keep_(start) {
    for (const AxisClass& c : classes.classes) kept_.push_back(c.groups.size());
    full_ = {macs_of_cut(classes, kept_), params_of_cut(classes, kept_)};
    for (size_t c = 0; c < classes.classes.size(); ++c) {
      kept_[c] = keep_.kept(c);
      ranked_.push_back(rank(c, budget));
    }
    now_ = pressure();
  }

  bool over() const { return now_ > 1; }
  CutShares shares() const {
    const auto share = [](double now, double full) { return full > 0 ? now / full : 1; };
    return {share(macs_of_cut(classes_, kept_), full_.macs),
            share(params_of_cut(classes_, kept_), full_.params)};
  }
  Keep keep() && { return std::move(keep_); }

  /// Cuts the chunk that loses least per pressure taken off; false when none is left.
  bool step() {
    size_t best = ranked_.size();
    double best_score = std::numeric_limits<double>::infinity();
    for (size_t c = 0; c < ranked_.size(); ++c) {
      const size_t chunk = ranked_[c].chunk();
      if (chunk == 0) continue;
      double loss = 0;
      for (size_t i = 0; i < chunk; ++i) loss += saliency_[c][ranked_[c].order[ranked_[c].cut + i]];
      if (!std::isfinite(loss)) continue;
      kept_[c] -= chunk;
      const double saved = now_ - pressure();
      kept_[c] += chunk;
      if (saved <= 0) continue;
      if (loss / saved < best_score) {
        best_score = loss / saved;
        best = c;
      }
    }
    if (best == ranked_.size()) return false;
    const size_t chunk = ranked_[best].chunk();
    flip(best, chunk, false);
    ranked_[best].cut += chunk;
    history_.emplace_back(best, chunk);
    now_ = pressure();
    return true;
  }

  /// Takes back cuts that the last one made needless, latest first.
  void take_back() {
    std::vector<bool> closed(ranked_.size(), false);
    for (size_t i = history_.size(); i-- > 0;) {
      const auto [c, chunk] = history_[i];
      if (closed[c]) continue;
      ranked_[c].cut -= chunk;
      flip(c, chunk, true);
      if (const double with = pressure(); with <= 1) {
        now_ = with;
      } else {
        flip(c, chunk, false);
        ranked_[c].cut += chunk;
        closed[c] = true;
      }
    }
  }

 private:
  Ranked rank(size_t c, const CutBudget& budget) {
    const AxisClass& cls = classes_.classes[c];
    Ranked r;
    r.order = ranking(saliency_[c], keep_.groups[c]);
    r.cut = cls.groups.size() - keep_.kept(c);
    r.least = std::max<size_t>(
        1, size_t(std::ceil(budget.least_share * double(cls.groups.size()) - 1e-9)));
    r.multiple = multiple_of(classes_, cls, budget.width_multiple);
    r.least = rounded_up(r.least, r.multiple);
    return r;
  }

  void flip(size_t c, size_t chunk, bool keep) {
    for (size_t i = 0; i < chunk; ++i) keep_.groups[c][ranked_[c].order[ranked_[c].cut + i]] = keep;
    kept_[c] += keep ? chunk : -chunk;
  }
  /// The share furthest from its limit, 1 where it just meets it.
  double pressure() const {
    double most = 0;
    if (budget_.macs < 1 && full_.macs > 0)
      most = macs_of_cut(classes_, kept_) / full_.macs / budget_.macs;
    if (budget_.params < 1 && full_.params > 0)
      most = std::max(most, params_of_cut(classes_, kept_) / full_.params / budget_.params);
    return most;
  }

  const AxisClasses& classes_;
  const Saliency& saliency_;
  const CutBudget budget_;
  Keep keep_;
  std::vector<Ranked> ranked_;
  std::vector<size_t> kept_;
  std::vector<std::pair<size_t, size_t>> history_;
  CutCost full_;
  double now_ = 1;
};

}  // namespace

std::optional<Keep> choose_cut(const AxisClasses& classes, const Saliency& saliency,
                               const CutBudget& budget, const Keep& start, CutShares* smallest) {
  ESP_CHECK(saliency.size() == classes.classes.size(), "scores of another network");
  Greedy greedy(classes, saliency, budget, start);
  while (greedy.over())
    if (!greedy.step()) {
      if (smallest) *smallest = greedy.shares();
      return std::nullopt;
    }
  greedy.take_back();
  return std::move(greedy).keep();
}

UserError infeasible_cut(const AxisClasses& classes, const CutBudget& budget,
                         const CutShares& smallest) {
  const auto percent = [](double share) { return std::to_string(std::lround(share * 100)) + " %"; };
  const bool macs = smallest.macs > budget.macs;
  std::string hint = "ask for a larger share";
  for (const AxisClass& c : classes.classes)
    if (const std::string why = c.obstacle(); !why.empty()) {
      hint = "'" + c.name + "' stays whole: " + why;
      break;
    }
  return {ExitCode::kInfeasible, "network '" + classes.graph.name + "'",
          "cannot be cut to " + percent(macs ? budget.macs : budget.params) + " of its " +
              (macs ? "multiply-accumulates" : "parameters") + ", the least is " +
              percent(macs ? smallest.macs : smallest.params),
          hint};
}

Keep magnitude_cut(const AxisClasses& classes, const CutBudget& budget) {
  CutShares smallest;
  auto keep = choose_cut(classes, mixed({magnitude(classes, constants_of(classes))}), budget,
                         Keep::all(classes), &smallest);
  if (!keep) throw infeasible_cut(classes, budget, smallest);
  return std::move(*keep);
}

Keep uniform_cut(const AxisClasses& classes, double share, int64_t width_multiple) {
  const Saliency sizes = magnitude(classes, constants_of(classes));
  Keep keep = Keep::all(classes);
  for (size_t c = 0; c < classes.classes.size(); ++c) {
    const AxisClass& cls = classes.classes[c];
    if (!cls.silenceable()) continue;
    const size_t all = cls.groups.size();
    const auto wanted = size_t(std::ceil(share * double(all) - 1e-9));
    const size_t stay = std::min(
        all, rounded_up(std::max<size_t>(1, wanted), multiple_of(classes, cls, width_multiple)));
    const auto order = ranking(sizes[c], keep.groups[c]);
    for (size_t i = 0; i < all - stay; ++i) keep.groups[c][order[i]] = false;
  }
  return keep;
}

std::vector<std::string> describe_cut(const AxisClasses& classes, const Keep& keep) {
  std::vector<std::string> lines;
  for (size_t c = 0; c < classes.classes.size(); ++c) {
    const size_t all = classes.classes[c].groups.size();
    if (keep.kept(c) < all)
      lines.push_back(classes.classes[c].name + ": " + std::to_string(keep.kept(c)) + " of " +
                      std::to_string(all));
  }
  return lines;
}

}  // namespace espalier

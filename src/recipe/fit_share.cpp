#include "recipe/fit_share.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "compress/axis_classes.h"
#include "compress/budget.h"
#include "compress/restrict.h"
#include "ir/integer_coding.h"
#include "recipe/fit_candidates.h"

namespace espalier {
namespace {

/// Each try keeps this part of the one before.
constexpr double kStep = 0.8;
/// What training cuts has other widths than what magnitude cuts, and clocks drift: a share that
/// leaves this much room is taken before one that just meets the limit.
constexpr double kLatencyMargin = 0.95;
/// The same of size, which widths alone change.
constexpr double kSizeMargin = 0.98;
constexpr int64_t kCalibrationSamples = 32;

/// The terms that depend on structure alone.
Budget structural(const Budget& budget) {
  Budget b;
  b.latency_ms = budget.latency_ms;
  b.weight_bytes = budget.weight_bytes;
  b.memory_bytes = budget.memory_bytes;
  return b;
}

bool limits(const Budget& b) { return b.latency_ms || b.weight_bytes || b.memory_bytes; }

std::vector<Graph> lowered_all(const FitPlan& plan, const Graph& network,
                               const Dataset& calibration) {
  const bool integers = integer_coding(network) != kNoNode;
  std::vector<Graph> graphs;
  for (const auto& precision : plan.precisions) {
    if (integers && precision != "f32") continue;
    if (precision != "int8") {
      graphs.push_back(lowered(network, precision));
      continue;
    }
    const auto whatever = [](const Graph&) { return 0.0; };
    graphs.push_back(
        quantised(network, calibration, {"minmax", kCalibrationSamples, 0}, whatever).graph);
  }
  return graphs;
}

struct Sized {
  Measured measured;
  double memory_bytes = 0;
};

std::vector<Sized> measure(const FitPlan& plan, const std::vector<Graph>& graphs,
                           const Shape& input) {
  std::vector<Timing> times(graphs.size());
  if (plan.budget.latency_ms) {
    std::vector<const Graph*> all;
    for (const Graph& g : graphs) all.push_back(&g);
    times = time_networks(all, input, plan.threads, plan.rounds);
  }
  std::vector<Sized> sized;
  for (size_t i = 0; i < graphs.size(); ++i) {
    const NetworkCost cost = network_cost(graphs[i], input, plan.threads);
    Sized& s = sized.emplace_back();
    s.measured.weight_bytes = cost.weight_bytes;
    s.measured.latency_ms = times[i].median_ms;
    s.memory_bytes = cost.memory_bytes;
  }
  return sized;
}

/// What the precision that comes nearest misses; nothing where one meets the budget.
std::optional<BudgetMiss> least_miss(const Budget& budget, const std::vector<Sized>& precisions) {
  std::optional<BudgetMiss> least;
  for (const Sized& s : precisions) {
    const auto miss = missed(budget, s.measured, s.memory_bytes, 1, 0);
    if (!miss) return std::nullopt;
    if (!least || miss->excess < least->excess) least = miss;
  }
  return least;
}

/// What a cut to the budget's size must leave of the parameters, from a try that missed it: they
/// are most of what is stored.
double fewer_params(const CutBudget& cut, const std::vector<Sized>& precisions,
                    const Budget& budget) {
  const double least = std::ranges::min(precisions, {}, [](const Sized& s) {
                         return s.measured.weight_bytes;
                       }).measured.weight_bytes;
  return cut.params * std::min(kSizeMargin, kSizeMargin * *budget.weight_bytes / least);
}

CutBudget chosen(const CutBudget& cut, double start) {
  const auto percent = [](double share) { return std::to_string(std::lround(100 * share)); };
  if (cut.macs < start)
    log_info("the budget asks for a cut to " + percent(cut.macs) +
             " % of the multiply-accumulates");
  if (cut.params < 1)
    log_info("the budget asks for a cut to " + percent(cut.params) + " % of the parameters");
  return cut;
}

}  // namespace

CutBudget cut_for_budget(const FitPlan& plan, const Shape& input, const Dataset& calibration) {
  const double start = plan.budget.macs_fraction.value_or(plan.keep_macs);
  CutBudget cut{.macs = start, .width_multiple = plan.width_multiple};
  const Budget budget = structural(plan.budget);
  if (!limits(budget)) return cut;
  Budget roomy = budget, size;
  if (roomy.latency_ms) *roomy.latency_ms *= kLatencyMargin;
  size.weight_bytes = budget.weight_bytes;
  const AxisClasses classes = axis_classes(plan.network);
  const Saliency saliency = magnitude(classes, constants_of(classes));
  std::optional<BudgetMiss> nearest;
  std::optional<CutBudget> tight;  // the last cut that met the budget without room
  while (true) {
    const auto keep = choose_cut(classes, saliency, cut, Keep::all(classes));
    if (!keep) break;
    const Graph smaller = restrict(plan.network, classes, *keep);
    const auto precisions = measure(plan, lowered_all(plan, smaller, calibration), input);
    const auto miss = least_miss(budget, precisions);
    if (!miss && !least_miss(roomy, precisions)) return chosen(cut, start);
    if (!miss)
      tight = cut;
    else if (!nearest || miss->excess < nearest->excess)
      nearest = miss;
    if (least_miss(size, precisions))
      cut.params = fewer_params(cut, precisions, budget);
    else
      cut.macs *= kStep;
  }
  if (tight) return chosen(*tight, start);
  // A first share that cannot be reached is the cutter's to tell.
  if (!nearest) return cut;
  throw UserError(ExitCode::kInfeasible, "budget " + to_string(plan.budget),
                  "is out of reach: of all cuts and precisions the nearest has " + nearest->what,
                  "allow more, or begin with a smaller network");
}

}  // namespace espalier

#include "runtime/measure_regions.h"

#include <algorithm>
#include <chrono>

#include "base/rng.h"
#include "ir/derive.h"
#include "runtime/random_input.h"
#include "runtime/session.h"

namespace espalier {
namespace {

constexpr double kMostReferenceFlops = 2e7;

/// The element at a fraction of the sorted order.
double quantile(std::vector<double> values, double q) {
  const size_t k = std::min(values.size() - 1, size_t(q * double(values.size())));
  std::nth_element(values.begin(), values.begin() + int64_t(k), values.end());
  return values[k];
}

/// Runs until the profile holds enough.
void run_profiled(Session& session, const RegionTimingOptions& options) {
  using Clock = std::chrono::steady_clock;
  std::vector<Tensor> inputs, outputs;
  const Rng rng(options.seed, stream_of("measured inputs"));
  for (const TensorType& t : session.program().input_types())
    inputs.push_back(random_input(t, rng.fork(inputs.size())));
  for (const TensorType& t : session.program().output_types())
    outputs.emplace_back(t.dtype, t.shape());
  for (int warm = 0; warm < 2; ++warm) session.run_into(inputs, outputs);
  session.clear_profile();
  const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
  const int most = std::min(options.most_runs, int(kProfileRuns));
  for (int runs = 0; runs < most && (runs < options.least_runs || Clock::now() < end); ++runs)
    session.run_into(inputs, outputs);
}

bool too_slow(const Program& program, const Graph& graph) {
  double flops = 0;
  for (const InstructionInfo& i : program.instructions())
    if (i.reference && i.origin != kNoNode) flops += cost_of(graph, i.origin).flops;
  return flops > kMostReferenceFlops;
}

/// Fills in what the instructions that serve a node took, run by run.
void add_times(RegionRow& row, NodeId node, const Session& session) {
  const auto& instructions = session.program().instructions();
  std::vector<double> runs;
  for (size_t i = 0; i < instructions.size(); ++i) {
    if (instructions[i].origin != node) continue;
    row.kernel += (row.kernel.empty() ? "" : " + ") + instructions[i].kernel;
    const auto& times = session.profile().entries[i].microseconds;
    runs.resize(times.size(), 0);
    for (size_t r = 0; r < times.size(); ++r) runs[r] += double(times[r]) / 1e3;
  }
  if (runs.empty()) return;
  // A clock too coarse to see it: still not nothing.
  row.ms = std::max(quantile(runs, 0.5), 1e-6);
  row.spread_ms = quantile(runs, 0.75) - quantile(runs, 0.25);
}

}  // namespace

std::vector<RegionRow> measure_regions(const Graph& graph, const std::string& source,
                                       const RegionTimingOptions& options) {
  CompileOptions compiling;
  compiling.threads = options.threads;
  compiling.profile = true;
  compiling.disabled_passes = options.disabled_passes;
  const Graph g = prepared(graph, compiling);
  Session session(compile(graph, compiling));
  if (too_slow(session.program(), g)) return {};
  run_profiled(session, options);
  std::vector<RegionRow> rows;
  for (NodeId id : g.order()) {
    if (computed_beforehand(g, id)) continue;
    RegionRow row;
    row.source = source;
    row.facts = region_facts(g, id);
    add_times(row, id, session);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace espalier

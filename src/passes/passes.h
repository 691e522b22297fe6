// Rewrites of graphs: each named, timed and switchable; their order is data.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace espalier {

struct Pass {
  std::string_view name;
  std::string_view description;
  /// Rewrites the graph in place; returns how many rewrites it made.
  int (*run)(Graph&);
};

/// All passes, in the order of passes.inc.
std::span<const Pass> all_passes();
/// The pass, or UserError(usage) listing those there are.
const Pass& pass_named(std::string_view name);

/// What one pass did.
struct PassReport {
  std::string_view name;
  int changes = 0;
  double milliseconds = 0;
};

struct PassOptions {
  /// Names of passes to leave out; an unknown name is a UserError(usage).
  std::vector<std::string> disabled;
  /// Run the verifier after each pass. On in debug builds and tests.
#ifdef NDEBUG
  bool verify_each = false;
#else
  bool verify_each = true;
#endif
  /// Called after each pass.
  std::function<void(const PassReport&)> report;
};

/// The order for inference programs: everything that is exact and makes networks faster.
std::vector<std::string> inference_pipeline();
/// The order for training steps, whose parameters are states.
std::vector<std::string> training_pipeline();

/// Runs the named passes in order.
void run_passes(Graph& graph, const PassOptions& options, std::span<const std::string> order);
/// The pipeline a graph asks for: training if it carries states, else inference.
void run_passes(Graph& graph, const PassOptions& options = {});

}  // namespace espalier

#include "passes/passes.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "ir/verify.h"

namespace espalier {

namespace passes {
#define ESP_PASS(name, description) int name(Graph& graph);
#include "passes/passes.inc"
#undef ESP_PASS
}  // namespace passes

std::span<const Pass> all_passes() {
  static constexpr Pass kPasses[] = {
#define ESP_PASS(name, description) {#name, description, &passes::name},
#include "passes/passes.inc"
#undef ESP_PASS
  };
  return kPasses;
}

const Pass& pass_named(std::string_view name) {
  std::string known;
  for (const Pass& pass : all_passes()) {
    if (pass.name == name) return pass;
    known += (known.empty() ? "" : ", ") + std::string(pass.name);
  }
  throw usage_error("pass '" + std::string(name) + "'", "is not known", "known: " + known);
}

std::vector<std::string> inference_pipeline() {
  return {"fold_constants",  "fold_branches",     "fold_identity",  "fold_picks",
          "fold_batch_norm", "fold_unified_norm", "fold_gelu",      "fold_layer_norm",
          "fuse_integer",    "fuse_quantize",     "fuse_attention", "fuse_transposed",
          "fuse_epilogue",   "fuse_pointwise",    "remove_dead"};
}

std::vector<std::string> training_pipeline() {
  // Integers and attention are joined where no gradient reads their parts: before what is trained.
  return {"fold_unified_norm",   "fold_constants",    "fold_identity",  "remove_dead",
          "fuse_integer",        "fuse_quantize",     "fuse_attention", "fuse_transposed",
          "fuse_stored_moments", "fuse_bounded_norm", "fuse_epilogue",  "fuse_pointwise",
          "remove_dead"};
}

void run_passes(Graph& graph, const PassOptions& options, std::span<const std::string> order) {
  for (const auto& name : options.disabled) pass_named(name);
  for (const auto& name : order) {
    const Pass& pass = pass_named(name);
    if (std::ranges::find(options.disabled, name) != options.disabled.end()) continue;
    const auto start = std::chrono::steady_clock::now();
    const int changes = pass.run(graph);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (options.verify_each) verify(graph, "pass " + name);
    if (options.report) options.report({pass.name, changes, took.count()});
  }
}

void run_passes(Graph& graph, const PassOptions& options) {
  run_passes(graph, options, graph.states().empty() ? inference_pipeline() : training_pipeline());
}

}  // namespace espalier

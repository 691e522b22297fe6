// Tuning a network's kernels, and its time without and with what was found.
#pragma once

#include <string>

#include "cli/verb.h"
#include "ir/graph.h"
#include "runtime/program.h"

namespace espalier::cli {

struct BenchTune {
  double seconds = 30;       ///< of tuning
  bool whole_space = false;  ///< every tile
  double bench_seconds = 1;  ///< of timing the network afterwards
};

/// "30", "30s", "500ms" and "2m" in seconds. UserError(usage) naming the option for anything else.
double parse_duration(const std::string& option, const std::string& text);

/// Keeps what was found on disk unless the network is slower with it. The graph is static.
ExitCode bench_tune(const std::string& model, const Graph& graph, const BenchTune& how,
                    const CompileOptions& options, const Common& common);

}  // namespace espalier::cli

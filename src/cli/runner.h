// Running a network once: compiled, or by the reference interpreter.
#pragma once

#include <span>
#include <vector>

#include "cli/compile_options.h"
#include "ir/datum.h"
#include "ir/graph.h"

namespace espalier::cli {

struct RunnerOptions {
  bool reference = false;
  CompileFlags compile;

  void add_to(CLI::App& app);
  /// Outputs for inputs in the order of the graph's. Open dimensions follow from the inputs.
  std::vector<Datum> run(const Graph& graph, std::span<const Datum> inputs) const;
};

}  // namespace espalier::cli

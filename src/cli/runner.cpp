#include "cli/runner.h"

#include <CLI/CLI.hpp>

#include "cli/compile_options.h"
#include "ir/interpret.h"
#include "runtime/session.h"

namespace espalier::cli {

void RunnerOptions::add_to(CLI::App& app) {
  app.add_flag("--reference", reference, "Run the plain reference loops instead of kernels");
  compile.add_to(app);
}

std::vector<Datum> RunnerOptions::run(const Graph& graph, std::span<const Datum> inputs) const {
  if (reference) return interpret_data(graph, inputs);
  return Model(graph, compile.options()).run_data(inputs);
}

}  // namespace espalier::cli

// The options of compilation that verbs share.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/program.h"

namespace CLI {
class App;
}

namespace espalier::cli {

struct CompileFlags {
  bool strict = false;
  bool explain = false;
  bool by_cost = false;
  bool tuned = false;
  std::vector<std::string> disabled_passes;

  void add_to(CLI::App& app);
  /// Threads are those of --threads. UserError for --by-cost where the machine was not calibrated,
  /// and for --tuned where nothing was tuned.
  CompileOptions options() const;
};

/// What --tuned stands for. UserError where nothing was tuned.
std::shared_ptr<const KernelChoices> tuned_choices(int threads);

}  // namespace espalier::cli

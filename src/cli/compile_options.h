// The options of compilation that verbs share.
#pragma once

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
  std::vector<std::string> disabled_passes;

  void add_to(CLI::App& app);
  /// Threads are those of --threads. UserError for --by-cost where the machine was not calibrated.
  CompileOptions options() const;
};

}  // namespace espalier::cli

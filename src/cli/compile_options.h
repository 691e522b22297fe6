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
  std::vector<std::string> disabled_passes;

  void add_to(CLI::App& app);
  /// Threads are those of --threads.
  CompileOptions options() const;
};

}  // namespace espalier::cli

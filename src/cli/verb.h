// What a verb is: a function that declares its options on a CLI11 subcommand and returns what to do
// once they are parsed. A new verb is one file verb_NAME.cpp and one line in verbs.inc.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"

namespace CLI {
class App;
}

namespace espalier::cli {

/// Options every verb has.
struct Common {
  bool json = false;       ///< one JSON object on standard output and nothing else there
  bool quiet = false;      ///< no progress and no news on standard error
  bool overwrite = false;  ///< files that stand in the way may be replaced
  int threads = 0;         ///< 0: as many as there are CPUs
  std::optional<uint64_t> seed;
  std::string command;  ///< as it was called, quoted for a shell
};

/// How a verb ends that was stopped by Ctrl-C after saving what it had done, as shells expect.
inline constexpr auto kInterrupted = ExitCode{130};

/// Returns kOk, or kCheckFailed when what was asked for does not hold. Other ends are UserErrors.
using Action = std::function<ExitCode(const Common&)>;

#define ESP_VERB(name, summary) Action name##_verb(CLI::App& app);
#include "cli/verbs.inc"
#undef ESP_VERB

}  // namespace espalier::cli

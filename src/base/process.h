// Other programs, and this one run once more beside itself: for what must be set before a library
// loads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace espalier {

/// Runs the running program again with these arguments, its environment changed by `changes` (an
/// empty value removes a variable), and waits for it. Its standard output goes nowhere, its
/// standard error where ours goes. Returns its exit code, or 128 and the signal that ended it.
/// UserError when it cannot be started.
int run_again(const std::vector<std::string>& arguments,
              const std::map<std::string, std::string>& changes);

/// A program, found on the path, and where it runs.
struct Command {
  std::vector<std::string> words;  ///< its name, then its arguments
  std::filesystem::path log;       ///< takes all that it says
  std::filesystem::path folder;    ///< empty: ours
  /// Called ten times a second while it runs. What it throws ends the program, and goes on.
  std::function<void()> waiting;
};
/// Its exit code, 128 and the signal that ended it, or -1 where it cannot be started.
int run_command(const Command& command);

/// The most memory this process has had in use at once, in bytes; 0 where the system does not say.
int64_t peak_resident_bytes();

/// How far memory in use grows while something is done.
class ResidentGrowth {
 public:
  /// Gives back what the allocator has to spare and lets the peak begin anew, of the whole process:
  /// peak_resident_bytes() afterwards is since then.
  ResidentGrowth();
  /// Bytes of the peak since, over what was in use at the beginning; nothing where the system does
  /// not say.
  std::optional<int64_t> bytes() const;

 private:
  std::optional<int64_t> before_;
};

}  // namespace espalier

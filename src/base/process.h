// This program run once more, beside itself: for what must be set before a library loads.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace espalier {

/// Runs the running program again with these arguments, its environment changed by `changes` (an
/// empty value removes a variable), and waits for it. Its standard output goes nowhere, its
/// standard error where ours goes. Returns its exit code, or 128 and the signal that ended it.
/// UserError when it cannot be started.
int run_again(const std::vector<std::string>& arguments,
              const std::map<std::string, std::string>& changes);

}  // namespace espalier

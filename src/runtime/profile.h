// Where a session's time goes.
#pragma once

#include <string>
#include <vector>

namespace espalier {

struct ProfileEntry {
  std::string node, kernel;
  double macs = 0;
  std::vector<float> microseconds;  ///< one per run, oldest first, at most kProfileRuns
  /// Median of the recorded times; 0 before the first run.
  double median_us() const;
};

inline constexpr size_t kProfileRuns = 256;

struct Profile {
  std::vector<ProfileEntry> entries;  ///< in order of execution
  /// Sum of the medians.
  double total_us() const;
};

}  // namespace espalier

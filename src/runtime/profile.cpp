#include "runtime/profile.h"

#include <algorithm>

namespace espalier {

double ProfileEntry::median_us() const {
  if (microseconds.empty()) return 0;
  std::vector<float> sorted = microseconds;
  std::nth_element(sorted.begin(), sorted.begin() + long(sorted.size() / 2), sorted.end());
  return sorted[sorted.size() / 2];
}

double Profile::total_us() const {
  double sum = 0;
  for (const ProfileEntry& e : entries) sum += e.median_us();
  return sum;
}

}  // namespace espalier

#include "fuzz/edges.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#ifdef __has_feature
#if __has_feature(coverage_sanitizer)
#define ESP_COUNTS_EDGES
#endif
#endif

#ifdef ESP_COUNTS_EDGES

namespace {

/// The counters of each library and program, as they are loaded.
std::vector<std::pair<uint8_t*, uint8_t*>>& counters() {
  static std::vector<std::pair<uint8_t*, uint8_t*>> all;
  return all;
}

}  // namespace

// Called by instrumented code before main(); once or more often for the same counters.
extern "C" __attribute__((no_sanitize("coverage"))) void __sanitizer_cov_8bit_counters_init(
    uint8_t* begin, uint8_t* end) {
  const std::pair range(begin, end);
  auto& all = counters();
  if (begin != end && std::find(all.begin(), all.end(), range) == all.end()) all.push_back(range);
}

namespace espalier::fuzz {

void forget_edges() {
  for (const auto& [begin, end] : counters()) std::fill(begin, end, uint8_t{0});
}

void add_edges(Events& events) {
  size_t number = 0;
  for (const auto& [begin, end] : counters())
    for (const uint8_t* at = begin; at != end; ++at, ++number)
      if (*at != 0)
        events.add("edge " + std::to_string(number) + " " + std::to_string(std::bit_width(*at)));
}

}  // namespace espalier::fuzz

#else

namespace espalier::fuzz {

void forget_edges() {}
void add_edges(Events&) {}

}  // namespace espalier::fuzz

#endif

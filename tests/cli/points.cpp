#include "tests/cli/points.h"

#include <cmath>

#include "base/rng.h"

namespace espalier::testing {

std::string points_table() {
  std::string table = "a,b,label\n";
  const Rng rng(1, stream_of("train test"));
  for (uint64_t i = 0; i < 900; ++i) {
    const double angle = 2.0943951 * double(i % 3);
    table += std::to_string(std::cos(angle) + 0.3 * rng.normal(2 * i)) + "," +
             std::to_string(std::sin(angle) + 0.3 * rng.normal(2 * i + 1)) + "," +
             std::to_string(i % 3) + "\n";
  }
  return table;
}

std::string points_network() {
  return R"(espalier: 1
name: small
variables: {classes: 3}
input: {name: x, shape: [N, 2]}
body:
  - linear: {name: fc1, out: 24}
  - relu
  - dropout: {ratio: 0.1}
  - linear: {name: fc2, out: $classes}
)";
}

}  // namespace espalier::testing

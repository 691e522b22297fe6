// How work is shared out evenly.
#pragma once

#include <cstdint>

namespace espalier::kernels {

/// [0, n) in `parts` parts whose sizes differ by one at most.
struct Cut {
  int64_t n = 0, parts = 1;
  int64_t begin(int64_t part) const { return n * part / parts; }
  int64_t size(int64_t part) const { return begin(part + 1) - begin(part); }
  int64_t largest() const { return ceil_div(n, parts); }
  static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
  static Cut at_most(int64_t n, int64_t most) { return {n, ceil_div(n, most)}; }
};

}  // namespace espalier::kernels

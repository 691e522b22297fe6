// Draws in a row from a counter-based stream: the same stream gives the same draws.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/rng.h"

namespace espalier::fuzz {

class Dice {
 public:
  explicit Dice(const Rng& rng) : rng_(rng) {}
  /// Uniform in [0, n); 0 where n is 0.
  size_t below(size_t n) { return n == 0 ? 0 : size_t(rng_.below(next_++, n)); }
  int64_t between(int64_t least, int64_t most) {
    return least + int64_t(below(size_t(most - least + 1)));
  }
  bool chance(double probability) { return rng_.uniform(next_++) < probability; }
  /// A stream of its own.
  Rng fork() { return rng_.fork(next_++); }
  /// An element of a list that is not empty.
  template <class List>
  auto& pick(List&& list) {
    return list[below(list.size())];
  }

 private:
  Rng rng_;
  uint64_t next_ = 0;
};

}  // namespace espalier::fuzz

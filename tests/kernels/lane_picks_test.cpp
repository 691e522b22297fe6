// Elements picked of every row beside the same by loops: in order, shuffled, from everywhere, fewer
// than a vector holds.
#include "kernels/lane_picks.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"

namespace espalier::kernels {
namespace {

using Picks = std::vector<int64_t>;

template <class T>
void check_as(int64_t extent, const Picks& picks, int64_t rows) {
  std::vector<T> x(size_t(extent * rows)), y(picks.size() * size_t(rows), T(-1));
  std::iota(x.begin(), x.end(), T(0));
  const LanePicks lanes(extent, picks, sizeof(T));
  const ThreadScope two(2);
  lanes.run(x.data(), y.data(), rows);
  for (int64_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < picks.size(); ++i)
      ASSERT_EQ(y[size_t(r) * picks.size() + i], T(r * extent + picks[i]))
          << "row " << r << ", place " << i << " of " << extent;
}

void check(int64_t extent, const Picks& picks, int64_t rows = 5) {
  check_as<uint8_t>(extent, picks, rows);
  check_as<uint16_t>(extent, picks, rows);
  check_as<int32_t>(extent, picks, rows);
  check_as<uint64_t>(extent, picks, rows);
}

/// first, first + step, …
Picks every(int64_t first, int64_t step, int64_t count) {
  Picks picks(static_cast<size_t>(count));
  for (size_t i = 0; i < picks.size(); ++i) picks[i] = first + step * int64_t(i);
  return picks;
}

TEST(LanePicks, EvenAndOddChannels) {
  for (int64_t extent : {2, 6, 16, 32, 34, 48, 50, 116, 232})
    for (int64_t first : {0, 1}) check(extent, every(first, 2, extent / 2));
  check(48, every(0, 2, 24), 3000);
}

TEST(LanePicks, TwoGroupsShuffled) {
  for (int64_t half : {4, 12, 16, 24, 29, 58}) {
    Picks picks;
    for (int64_t i = 0; i < half; ++i) picks.insert(picks.end(), {i, i + half});
    check(2 * half, picks);
  }
}

TEST(LanePicks, FromEverywhere) {
  const Rng rng(3, 5);
  for (int64_t extent : {1, 3, 17, 64, 300})
    for (int64_t count : {1, 7, 16, 40, 129}) {
      Picks picks;
      for (int64_t i = 0; i < count; ++i)
        picks.push_back(int64_t(rng.below(uint64_t(i), uint64_t(extent))));
      check(extent, picks);
    }
  check(64, every(63, -1, 64));
  check(64, Picks(20, 5));
}

}  // namespace
}  // namespace espalier::kernels

#include "runtime/memory_plan.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace espalier {
namespace {

TEST(MemoryPlan, BuffersAliveTogetherNeverOverlap) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Rng rng(seed, 3);
    std::vector<BufferLife> lives;
    for (uint64_t i = 0; i < 40; ++i) {
      const int first = int(rng.below(3 * i, 30));
      lives.push_back(
          {size_t(rng.below(3 * i + 1, 1000)), first, first + int(rng.below(3 * i + 2, 8))});
    }
    const MemoryPlan plan = plan_memory(lives);
    EXPECT_GE(plan.bytes, lower_bound(lives));
    for (size_t a = 0; a < lives.size(); ++a) {
      EXPECT_EQ(plan.offsets[a] % 64, 0u);
      EXPECT_LE(plan.offsets[a] + lives[a].bytes, plan.bytes);
      for (size_t b = a + 1; b < lives.size(); ++b) {
        const bool together = lives[a].first <= lives[b].last && lives[b].first <= lives[a].last;
        const bool overlap = plan.offsets[a] < plan.offsets[b] + lives[b].bytes &&
                             plan.offsets[b] < plan.offsets[a] + lives[a].bytes;
        EXPECT_FALSE(together && overlap) << "seed " << seed << ": " << a << " and " << b;
      }
    }
  }
}

TEST(MemoryPlan, ChainNeedsTwoBuffers) {
  std::vector<BufferLife> lives;
  for (int i = 0; i < 10; ++i) lives.push_back({640, i, i + 1});
  EXPECT_EQ(plan_memory(lives).bytes, 1280u);
  EXPECT_EQ(lower_bound(lives), 1280u);
}

}  // namespace
}  // namespace espalier

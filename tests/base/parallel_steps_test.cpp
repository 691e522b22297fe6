#include "base/parallel_steps.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "base/threads.h"

namespace espalier {
namespace {

// Every step reads what other threads wrote in the one before.
TEST(ParallelSteps, BeginWhenTheOneBeforeHasEndedEverywhere) {
  constexpr int64_t kSteps = 200, kItems = 37;
  for (const int threads : {1, 2, 4}) {
    const ThreadScope scope(threads);
    std::vector<int64_t> now(kItems), next(kItems);
    for (int64_t i = 0; i < kItems; ++i) now[size_t(i)] = i;
    std::vector<int64_t>* of[2] = {&now, &next};
    parallel_steps(kSteps, kItems, 1, [&](int64_t step, int64_t begin, int64_t end) {
      const auto& from = *of[step % 2];
      auto& to = *of[(step + 1) % 2];
      for (int64_t i = begin; i < end; ++i) to[size_t(i)] = from[size_t((i + 1) % kItems)];
    });
    for (int64_t i = 0; i < kItems; ++i) EXPECT_EQ(now[size_t(i)], (i + kSteps) % kItems);
  }
}

TEST(ParallelSteps, AreDoneOnceWhereThereIsNothingToShare) {
  std::atomic<int> calls = 0;
  parallel_steps(5, 3, 100, [&](int64_t, int64_t begin, int64_t end) {
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 3);
    ++calls;
  });
  EXPECT_EQ(calls, 5);
  parallel_steps(5, 0, 1, [&](int64_t, int64_t, int64_t) { ++calls; });
  EXPECT_EQ(calls, 5);
}

TEST(ParallelSteps, EndWithTheStepThatThrows) {
  const ThreadScope two(2);
  std::atomic<int64_t> last = -1;
  const auto run = [&] {
    parallel_steps(10, 2, 1, [&](int64_t step, int64_t begin, int64_t) {
      if (begin == 0) last = step;
      if (begin == 1 && step == 4) throw std::runtime_error("step 4");
    });
  };
  EXPECT_THROW(run(), std::runtime_error);
  EXPECT_EQ(last, 4);
}

}  // namespace
}  // namespace espalier

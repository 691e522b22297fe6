#include "base/prefetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "base/error.h"
#include "base/threads.h"

namespace espalier {
namespace {

TEST(Prefetch, ItemsArriveInOrderFromTheFirstAskedFor) {
  std::vector<int64_t> slots(3);
  Prefetch prefetch(4, 100, 2, [&](int64_t i) { slots[size_t(i % 3)] = i * i; });
  for (int64_t i = 4; i < 100; ++i) {
    prefetch.take(i);
    ASSERT_EQ(slots[size_t(i % 3)], i * i);
  }
}

TEST(Prefetch, NeverRunsFurtherAheadThanAllowed) {
  std::atomic<int64_t> taken{0};
  std::atomic<bool> too_far{false};
  Prefetch prefetch(0, 50, 2, [&](int64_t i) {
    if (i > taken + 2) too_far = true;
  });
  for (int64_t i = 0; i < 50; ++i) {
    taken = i;
    prefetch.take(i);
  }
  EXPECT_FALSE(too_far);
}

TEST(Prefetch, AFailureArrivesWithItsItem) {
  Prefetch prefetch(0, 10, 3, [](int64_t i) {
    if (i == 2) throw bad_input("item 2", "is broken");
  });
  prefetch.take(0);
  prefetch.take(1);
  EXPECT_THROW(prefetch.take(2), UserError);
  EXPECT_THROW(prefetch.take(2), UserError);
}

TEST(Prefetch, CanBeAbandoned) {
  for (int i = 0; i < 20; ++i) {
    Prefetch prefetch(0, 1000, 2, [](int64_t) {});
    prefetch.take(0);
  }
}

TEST(SerialScope, LoopsRunInlineInsideIt) {
  SerialScope serial;
  int calls = 0;
  parallel_for(1000, 1, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 1000);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace espalier

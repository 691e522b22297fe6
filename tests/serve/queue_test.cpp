// The order of work with a clock of our own: batching, delays, deadlines, shedding.
#include "serve/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace espalier::serve {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Item : public Work {
 public:
  explicit Item(int id) : id(id) {}
  void ended(End, std::exception_ptr) noexcept override {}
  bool gone() const override { return left; }
  const int id;
  bool left = false;
};

/// Time 0 of all tests.
const Time kStart = Time{} + 1h;
Time at(Duration d) { return kStart + d; }

/// What a request is, where it is not the usual.
struct Asked {
  int64_t rows = 1;
  const void* kind = nullptr;
  bool stacks = true;
  Time deadline = Time::max();
};

class Queue {
 public:
  explicit Queue(QueueOptions options) : core(options) {}

  Item* add(int id, Duration when, const Asked& asked = {}) {
    EXPECT_EQ(core.admit(at(when), asked.deadline), std::nullopt);
    return decoded(id, when, asked);
  }
  /// After it was admitted.
  Item* decoded(int id, Duration when, const Asked& asked = {}, Duration decoding = {}) {
    auto item = std::make_unique<Item>(id);
    item->rows = asked.rows;
    item->kind = asked.kind;
    item->stacks = asked.stacks;
    item->deadline = asked.deadline;
    Item* raw = item.get();
    core.add(std::move(item), at(when), decoding);
    return raw;
  }
  std::vector<int> next(Duration when) {
    BatchQueue::Next next = core.next(at(when));
    wake = next.wake;
    return ids(next.batch);
  }
  static std::vector<int> ids(const std::vector<WorkPtr>& works) {
    std::vector<int> list;
    for (const WorkPtr& w : works) list.push_back(static_cast<const Item&>(*w).id);
    return list;
  }
  std::optional<Refusal> asked(Duration when, Time deadline = Time::max()) {
    auto refusal = core.admit(at(when), deadline);
    if (!refusal) core.withdraw();
    return refusal;
  }

  BatchQueue core;
  Time wake{};
};

QueueOptions rows(int64_t most, Duration delay = {}) {
  QueueOptions o;
  o.max_rows = most;
  o.max_delay = delay;
  return o;
}

TEST(BatchQueue, TakesWhatFitsInOrder) {
  Queue q(rows(4));
  q.add(1, 0ms, {.rows = 2});
  q.add(2, 1ms);
  q.add(3, 2ms, {.rows = 2});  // does not fit: later work does not overtake it
  q.add(4, 3ms);
  EXPECT_THAT(q.next(5ms), ElementsAre(1, 2));
  EXPECT_THAT(q.next(5ms), ElementsAre(3, 4));
  EXPECT_THAT(q.next(5ms), IsEmpty());
  EXPECT_EQ(q.wake, Time::max());
  EXPECT_TRUE(q.core.empty());
}

TEST(BatchQueue, WorkThatDoesNotStackRunsAlone) {
  Queue q(rows(8));
  q.add(1, 0ms, {.stacks = false});
  q.add(2, 0ms, {.stacks = false});
  EXPECT_THAT(q.next(0ms), ElementsAre(1));
  EXPECT_THAT(q.next(0ms), ElementsAre(2));
}

TEST(BatchQueue, KindsDoNotMix) {
  const int a = 0, b = 0;
  Queue q(rows(8));
  q.add(1, 0ms, {.kind = &a});
  q.add(2, 0ms, {.kind = &b});
  q.add(3, 0ms, {.kind = &a});
  EXPECT_THAT(q.next(0ms), ElementsAre(1, 3));
  EXPECT_THAT(q.next(0ms), ElementsAre(2));
}

TEST(BatchQueue, WaitsForCompanyNoLongerThanTheDelay) {
  Queue q(rows(3, 10ms));
  q.add(1, 0ms);
  EXPECT_THAT(q.next(0ms), IsEmpty());
  EXPECT_EQ(q.wake, at(10ms));
  q.add(2, 4ms);
  EXPECT_THAT(q.next(9ms), IsEmpty());
  EXPECT_EQ(q.wake, at(10ms)) << "the delay is the oldest's";
  EXPECT_THAT(q.next(10ms), ElementsAre(1, 2));
}

TEST(BatchQueue, FullBatchesDoNotWait) {
  Queue q(rows(2, 10ms));
  q.add(1, 0ms);
  q.add(2, 1ms);
  EXPECT_THAT(q.next(1ms), ElementsAre(1, 2));
  const int other = 0;
  q.add(3, 2ms);
  q.add(4, 2ms, {.kind = &other});
  q.add(5, 2ms, {.kind = &other});
  EXPECT_THAT(q.next(2ms), ElementsAre(4, 5)) << "a full batch passes one that waits";
}

TEST(BatchQueue, DelayLeavesTimeToCompute) {
  Queue q(rows(4, 100ms));
  q.add(1, 0ms, {.rows = 4});
  EXPECT_THAT(q.next(0ms), ElementsAre(1));
  q.core.finished(4, 40ms);  // 10 ms a row
  q.add(2, 50ms, {.deadline = at(80ms)});
  EXPECT_THAT(q.next(50ms), IsEmpty());
  EXPECT_EQ(q.wake, at(70ms));
  EXPECT_THAT(q.next(70ms), ElementsAre(2));
}

TEST(BatchQueue, HurriedQueuesDelayNothing) {
  Queue q(rows(4, 1h));
  q.add(1, 0ms);
  EXPECT_THAT(q.next(0ms), IsEmpty());
  q.core.hurry();
  q.add(2, 0ms);
  EXPECT_THAT(q.next(0ms), ElementsAre(1, 2));
}

TEST(BatchQueue, ClosedQueuesAdmitNothingAndDelayNothing) {
  Queue q(rows(4, 1h));
  q.add(1, 0ms);
  EXPECT_THAT(q.next(0ms), IsEmpty());
  q.core.close();
  EXPECT_THAT(q.asked(0ms)->reason, HasSubstr("shutting down"));
  EXPECT_THAT(q.next(0ms), ElementsAre(1));
}

TEST(BatchQueue, DropsWhatIsLateAndWhoLeft) {
  Queue q(rows(8));
  q.add(1, 0ms, {.deadline = at(5ms)});
  q.add(2, 0ms)->left = true;
  q.add(3, 0ms, {.deadline = at(50ms)});
  const auto early = q.core.sweep(at(4ms));
  EXPECT_THAT(Queue::ids(early.expired), IsEmpty());
  EXPECT_THAT(Queue::ids(early.gone), ElementsAre(2));
  EXPECT_THAT(Queue::ids(q.core.sweep(at(5ms)).expired), ElementsAre(1));
  EXPECT_THAT(q.next(5ms), ElementsAre(3));
}

TEST(BatchQueue, SweepsGiveEachItsReason) {
  Queue q(rows(8));
  q.add(1, 0ms, {.deadline = at(5ms)});
  q.add(2, 0ms)->left = true;
  auto dropped = q.core.sweep(at(9ms));
  EXPECT_THAT(Queue::ids(dropped.expired), ElementsAre(1));
  EXPECT_THAT(Queue::ids(dropped.gone), ElementsAre(2));
  EXPECT_TRUE(q.core.empty());
}

TEST(Admission, EndsWhereTheQueueIsFull) {
  QueueOptions o = rows(1);
  o.most_waiting = 2;
  Queue q(o);
  ASSERT_EQ(q.core.admit(at(0ms), Time::max()), std::nullopt);  // being decoded
  q.add(1, 0ms);
  EXPECT_THAT(q.asked(0ms)->reason, HasSubstr("2 requests are waiting"));
  q.core.withdraw();
  EXPECT_EQ(q.asked(0ms), std::nullopt) << "a malformed request gives its place back";
}

TEST(Admission, EndsWhereTheWaitIsTooLong) {
  QueueOptions o = rows(4);
  o.longest_wait = 100ms;
  Queue q(o);
  q.add(1, 0ms, {.rows = 4});
  ASSERT_THAT(q.next(0ms), ElementsAre(1));
  q.core.finished(4, 80ms);  // 20 ms a row
  for (int i = 0; i < 5; ++i) q.add(2 + i, 80ms);
  EXPECT_EQ(q.core.expected_wait(), 100ms);
  q.add(9, 80ms);
  const auto refusal = q.asked(80ms);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_THAT(refusal->reason, HasSubstr("the wait would be 120 ms"));
  EXPECT_EQ(refusal->retry_after, 20ms);
}

TEST(Admission, RefusesWhatCannotBeInTime) {
  Queue q(rows(1));
  q.add(1, 0ms);
  ASSERT_THAT(q.next(0ms), ElementsAre(1));
  q.core.finished(1, 30ms);
  q.add(2, 30ms);
  EXPECT_EQ(q.asked(30ms, at(90ms)), std::nullopt);
  EXPECT_THAT(q.asked(30ms, at(50ms))->reason, HasSubstr("longer than the request's time"));
  EXPECT_THAT(q.asked(30ms, at(20ms))->reason, HasSubstr("over already"));
}

TEST(Admission, InstancesShareTheWait) {
  QueueOptions o = rows(1);
  o.instances = 2;
  Queue q(o);
  q.add(1, 0ms);
  ASSERT_THAT(q.next(0ms), ElementsAre(1));
  q.core.finished(1, 40ms);
  EXPECT_EQ(q.core.expected_wait(), 0ms) << "an instance is free";
  q.add(2, 50ms);
  q.add(3, 50ms);
  EXPECT_EQ(q.core.expected_wait(), 40ms);
}

TEST(Admission, DecodingCountsToo) {
  QueueOptions o = rows(1);
  o.longest_wait = 100ms;
  o.decoders = 2;
  Queue q(o);
  ASSERT_EQ(q.core.admit(at(0ms), Time::max()), std::nullopt);
  q.decoded(1, 40ms, {}, 40ms);
  ASSERT_THAT(q.next(40ms), ElementsAre(1));
  q.core.finished(1, 0ms);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(q.core.admit(at(40ms), Time::max()), std::nullopt) << i;
  EXPECT_EQ(q.core.expected_wait(), 100ms);
  ASSERT_EQ(q.core.admit(at(40ms), Time::max()), std::nullopt);
  EXPECT_THAT(q.asked(40ms)->reason, HasSubstr("the wait would be 120 ms"));
}

TEST(Admission, AHiccupDoesNotTurnEverybodyAway) {
  QueueOptions o = rows(1);
  o.longest_wait = 50ms;
  Queue q(o);
  int id = 0;
  const auto run = [&](Duration compute) {
    q.add(++id, 0ms);
    ASSERT_THAT(q.next(0ms), ElementsAre(id));
    q.core.finished(1, compute);
  };
  run(10ms);
  run(10s);
  EXPECT_EQ(q.asked(0ms), std::nullopt) << "an idle server admits, whatever the last one took";
  for (int i = 0; i < 9; ++i) run(10ms);
  q.add(++id, 0ms);
  EXPECT_EQ(q.asked(0ms), std::nullopt) << "a few quick ones restore the trust";
}

/// Twice the load that can be carried, in simulated time: the wait of what is accepted stays
/// bounded, the server stays busy, and the rest is refused.
TEST(Admission, UnderTwiceTheLoadTheWaitStaysBounded) {
  QueueOptions o = rows(8);
  o.longest_wait = 100ms;
  Queue q(o);
  // A batch takes 4 ms and 1 ms a row: eight rows at once are 12 ms, 667 rows/s.
  const auto cost = [](size_t n) { return 4ms + 1ms * int(n); };
  const Duration gap = 750us;  // 1333 requests/s
  Duration now = 0ms, next_arrival = 0ms, free_at = 0ms, longest = 0ms, busy = 0ms;
  std::map<int, Duration> arrived;
  int id = 0, accepted = 0, refused = 0;
  std::vector<int> running;
  Duration began{};
  while (next_arrival < 20s) {
    if (!running.empty() && free_at <= next_arrival) {
      now = free_at;
      q.core.finished(int64_t(running.size()), free_at - began);
      running.clear();
    } else {
      now = next_arrival;
      next_arrival += gap;
      if (q.core.admit(at(now), Time::max())) {
        ++refused;
      } else {
        q.decoded(++id, now);
        arrived[id] = now;
        ++accepted;
      }
    }
    if (!running.empty()) continue;
    running = q.next(now);
    if (running.empty()) continue;
    for (int i : running) longest = std::max(longest, now - arrived.at(i));
    began = now;
    free_at = now + cost(running.size());
    busy += free_at - began;
  }
  EXPECT_LE(longest, 200ms);
  EXPECT_GT(accepted, refused * 3 / 4) << accepted << " accepted, " << refused << " refused";
  EXPECT_GT(refused, 9000);
  EXPECT_GT(busy, 19s);
}

}  // namespace
}  // namespace espalier::serve

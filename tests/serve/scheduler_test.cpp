// Threads around the queue, with work that ends when the test says so.
#include "serve/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <stdexcept>

namespace espalier::serve {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

struct Ended {
  int id;
  End end;
  bool operator==(const Ended&) const = default;
};

/// What ended, in order.
class Record {
 public:
  void add(Ended e) {
    const std::lock_guard lock(mutex_);
    list_.push_back(e);
    changed_.notify_all();
  }
  /// Waits for so many.
  std::vector<Ended> take(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return list_.size() >= count; });
    return list_;
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return list_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Ended> list_;
};

class Item : public Work {
 public:
  Item(int id, Record& record) : id(id), record_(record) { stacks = true; }
  void ended(End end, std::exception_ptr) noexcept override { record_.add({id, end}); }
  bool gone() const override { return left; }
  const int id;
  bool left = false;

 private:
  Record& record_;
};

/// Lets `run` functions wait until the test opens it.
class Gate {
 public:
  void pass() {
    ++arrived_;
    opened_.wait();
  }
  void wait_for(int count) const {
    while (arrived_ < count) std::this_thread::yield();
  }
  void open() { open_.set_value(); }

 private:
  std::promise<void> open_;
  std::shared_future<void> opened_ = open_.get_future().share();
  std::atomic<int> arrived_{0};
};

QueueOptions options(int64_t rows, int instances = 1) {
  QueueOptions o;
  o.max_rows = rows;
  o.instances = instances;
  return o;
}

void submit(Scheduler& s, std::unique_ptr<Item> item) {
  auto admitted = s.admit(item->deadline);
  ASSERT_TRUE(std::holds_alternative<Ticket>(admitted));
  s.submit(std::get<Ticket>(std::move(admitted)), std::move(item));
}
void submit(Scheduler& s, int id, Record& record) { submit(s, std::make_unique<Item>(id, record)); }

int id_of(const WorkPtr& w) { return static_cast<const Item&>(*w).id; }

TEST(Scheduler, BatchesFormWhileAnInstanceIsBusy) {
  Record record;
  Gate gate;
  std::vector<size_t> sizes;
  Scheduler s(options(4), [&](int, std::span<const WorkPtr> batch) {
    sizes.push_back(batch.size());
    if (sizes.size() == 1) gate.pass();
  });
  submit(s, 0, record);
  gate.wait_for(1);
  for (int i = 1; i <= 6; ++i) submit(s, i, record);
  EXPECT_EQ(s.waiting(), 6);
  gate.open();
  record.take(7);
  s.drain();
  EXPECT_THAT(sizes, ElementsAre(1u, 4u, 2u));
}

TEST(Scheduler, InstancesRunSideBySideAndNoMore) {
  Record record;
  Gate gate;
  std::atomic<int> running{0}, most{0};
  Scheduler s(options(1, 3), [&](int, std::span<const WorkPtr>) {
    const int now = ++running;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    gate.pass();
    --running;
  });
  for (int i = 0; i < 9; ++i) submit(s, i, record);
  gate.wait_for(3);
  EXPECT_EQ(s.waiting(), 6);
  EXPECT_EQ(record.size(), 0u);
  gate.open();
  record.take(9);
  EXPECT_EQ(most, 3);
}

TEST(Scheduler, OneBadRequestDoesNotSpoilItsBatch) {
  Record record;
  Gate gate;
  std::atomic<bool> first{true};
  Scheduler s(options(4), [&](int, std::span<const WorkPtr> batch) {
    if (first.exchange(false)) return gate.pass();
    for (const WorkPtr& w : batch)
      if (id_of(w) == 2) throw std::runtime_error("two");
  });
  submit(s, 0, record);
  gate.wait_for(1);
  for (int i = 1; i <= 3; ++i) submit(s, i, record);
  gate.open();
  EXPECT_THAT(record.take(4), ElementsAre(Ended{0, End::done}, Ended{1, End::done},
                                          Ended{2, End::failed}, Ended{3, End::done}));
}

TEST(Scheduler, LateWorkIsNotRun) {
  Record record;
  Gate gate;
  std::atomic<int64_t> now_ms{0};
  std::vector<int> ran;
  Scheduler s(
      options(4),
      [&](int, std::span<const WorkPtr> batch) {
        for (const WorkPtr& w : batch) ran.push_back(id_of(w));
        if (ran.size() == 1) gate.pass();
      },
      [&] { return Time{} + std::chrono::milliseconds(now_ms.load()); });
  submit(s, 0, record);
  gate.wait_for(1);
  auto late = std::make_unique<Item>(1, record);
  late->deadline = Time{} + 5ms;
  submit(s, std::move(late));
  auto left = std::make_unique<Item>(2, record);
  left->left = true;
  submit(s, std::move(left));  // found gone at once
  now_ms = 6;
  submit(s, 3, record);  // finds 1 late though the instance is busy
  EXPECT_THAT(record.take(2), ElementsAre(Ended{2, End::gone}, Ended{1, End::expired}));
  gate.open();
  record.take(4);
  s.drain();
  EXPECT_THAT(ran, ElementsAre(0, 3));
}

TEST(Scheduler, DrainFinishesWhatWasAccepted) {
  Record record;
  Gate gate;
  auto s = std::make_unique<Scheduler>(options(1), [&](int, std::span<const WorkPtr>) {
    if (record.size() == 0) gate.pass();
  });
  submit(*s, 0, record);
  gate.wait_for(1);
  submit(*s, 1, record);
  auto decoding = s->admit(Time::max());  // accepted, still being decoded
  std::thread drain([&] { s->drain(); });
  while (true) {
    auto refused = s->admit(Time::max());
    if (std::holds_alternative<Refusal>(refused)) {
      EXPECT_EQ(std::get<Refusal>(refused).reason, "the server is shutting down");
      break;
    }
  }
  gate.open();
  record.take(2);
  s->submit(std::get<Ticket>(std::move(decoding)), std::make_unique<Item>(2, record));
  drain.join();
  EXPECT_EQ(record.size(), 3u);
}

TEST(Scheduler, DrainDoesNotWaitForWhatWasWithdrawn) {
  Record record;
  Scheduler s(options(1), [](int, std::span<const WorkPtr>) {});
  auto admitted = std::make_unique<std::variant<Ticket, Refusal>>(s.admit(Time::max()));
  std::thread drain([&] { s.drain(); });
  admitted.reset();
  drain.join();
  EXPECT_EQ(s.waiting(), 0);
}

TEST(Scheduler, EveryRequestEndsOnce) {
  Record record;
  std::atomic<int> ran{0};
  {
    Scheduler s(options(8, 2),
                [&](int, std::span<const WorkPtr> batch) { ran += int(batch.size()); });
    std::vector<std::thread> clients;
    for (int c = 0; c < 4; ++c)
      clients.emplace_back([&, c] {
        for (int i = 0; i < 100; ++i) {
          auto admitted = s.admit(Time::max());
          if (auto* ticket = std::get_if<Ticket>(&admitted))
            s.submit(std::move(*ticket), std::make_unique<Item>(c * 1000 + i, record));
          else
            record.add({c * 1000 + i, End::failed});
        }
      });
    for (std::thread& c : clients) c.join();
  }
  EXPECT_EQ(record.size(), 400u);
  std::vector<int> ids;
  int done = 0;
  for (const Ended& e : record.take(400)) {
    ids.push_back(e.id);
    done += e.end == End::done;
  }
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::unique(ids).begin(), ids.end());
  EXPECT_EQ(done, ran);
}

}  // namespace
}  // namespace espalier::serve

// The order of one model's work: what may enter, what runs next and with whom. No threads and no
// clock: the time is an argument, so that every decision can be tested.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/message.h"

namespace espalier::serve {

/// How work ends.
enum class End {
  done,
  failed,   ///< with an exception
  expired,  ///< its deadline passed before it ran
  gone,     ///< its client hung up before it ran
};

/// One accepted request while it waits and runs.
class Work {
 public:
  virtual ~Work() = default;
  /// Called exactly once, from any thread, without a lock held. Must not throw.
  virtual void ended(End end, std::exception_ptr error) noexcept = 0;
  /// Whether nobody waits for the answer any more.
  virtual bool gone() const { return false; }

  const void* kind = nullptr;  ///< stacking work of one kind may run together
  bool stacks = false;
  int64_t rows = 1;
  Time deadline = Time::max();

  Time entered{}, started{}, finished{};  ///< set while it goes through
};
using WorkPtr = std::unique_ptr<Work>;

struct QueueOptions {
  int64_t max_rows = 8;                             ///< of one batch
  Duration max_delay{0};                            ///< a batch waits so long for company
  int64_t most_waiting = 256;                       ///< requests admitted that do not run yet
  Duration longest_wait = std::chrono::seconds(1);  ///< nothing is admitted that would wait longer
  int decoders = 1;                                 ///< requests decoded at the same time
  int instances = 1;                                ///< batches that run at the same time
};

/// Why a request is not admitted, and when it may be worth asking again.
struct Refusal {
  std::string reason;
  Duration retry_after{};
};

/// Not to be used by two threads at once. First come, first served within a kind.
class BatchQueue {
 public:
  explicit BatchQueue(QueueOptions options) : options_(options) {}

  /// A place for a request that is not decoded yet; nothing when it has one. Each place is given
  /// up by `add` or `withdraw`.
  std::optional<Refusal> admit(Time now, Time deadline);
  void withdraw() { --places_; }
  /// `decoding`: how long a thread worked to make it ready.
  void add(WorkPtr work, Time now, Duration decoding = {});

  struct Dropped {
    std::vector<WorkPtr> expired, gone;
  };
  /// Takes out what must not run any more.
  Dropped sweep(Time now);

  struct Next {
    std::vector<WorkPtr> batch;  ///< to run now; empty: nothing yet
    Time wake = Time::max();     ///< when to ask again though nothing was added
  };
  Next next(Time now);
  /// A batch of so many rows took so long.
  void finished(int64_t rows, Duration compute);

  /// How long a request would wait that came now, by what decoding and rows took lately; zero while
  /// nothing is known.
  Duration expected_wait() const;
  /// From now on batches wait for nobody.
  void hurry() { hurried_ = true; }
  /// From now on nothing is admitted either.
  void close() { hurried_ = closed_ = true; }
  /// Nothing waits and nothing that was admitted is still to come.
  bool empty() const { return places_ == 0 && queue_.empty(); }
  int64_t waiting() const { return places_ + int64_t(queue_.size()); }

 private:
  struct Group;
  Group group_from(size_t first) const;
  Duration cost_of(int64_t rows) const;

  QueueOptions options_;
  std::deque<WorkPtr> queue_;
  int64_t places_ = 0;
  int64_t waiting_rows_ = 0, running_rows_ = 0;
  int running_ = 0;
  double row_seconds_ = 0, decode_seconds_ = 0;  // smoothed; 0 before the first
  bool hurried_ = false, closed_ = false;
};

}  // namespace espalier::serve

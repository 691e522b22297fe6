// Threads around a BatchQueue: one per instance of a model, each running one batch at a time.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "serve/queue.h"

namespace espalier::serve {

class Scheduler;

/// A place in a scheduler's queue for a request that is being decoded.
class Ticket {
 public:
  Ticket(Ticket&& other) noexcept : scheduler_(std::exchange(other.scheduler_, nullptr)) {}
  Ticket& operator=(Ticket&&) = delete;
  ~Ticket();  ///< gives the place back if it was not used

 private:
  friend class Scheduler;
  explicit Ticket(Scheduler* scheduler) : scheduler_(scheduler) {}
  Scheduler* scheduler_;
};

class Scheduler {
 public:
  /// Runs a batch on an instance; called by one thread at a time for each instance. When it throws
  /// for a batch of several, it is called again for each of them alone.
  using Run = std::function<void(int instance, std::span<const WorkPtr> batch)>;

  Scheduler(QueueOptions options, Run run, std::function<Time()> now = Clock::now);
  ~Scheduler();  ///< drains
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  std::variant<Ticket, Refusal> admit(Time deadline);
  /// `decoding`: how long a thread worked to make it ready.
  void submit(Ticket ticket, WorkPtr work, Duration decoding = {});
  /// From now on batches wait for nobody.
  void hurry();
  /// Admits nothing more, finishes what was admitted, ends the threads.
  void drain();
  int64_t waiting() const;

 private:
  friend class Ticket;
  void withdraw();
  void loop(int instance);
  void run_batch(int instance, std::span<const WorkPtr> batch);

  const QueueOptions options_;
  const Run run_;
  const std::function<Time()> now_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  BatchQueue queue_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace espalier::serve

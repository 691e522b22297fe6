#include "serve/scheduler.h"

namespace espalier::serve {
namespace {

void end_all(BatchQueue::Dropped dropped) {
  for (WorkPtr& work : dropped.expired) work->ended(End::expired, nullptr);
  for (WorkPtr& work : dropped.gone) work->ended(End::gone, nullptr);
}

}  // namespace

Ticket::~Ticket() {
  if (scheduler_) scheduler_->withdraw();
}

Scheduler::Scheduler(QueueOptions options, Run run, std::function<Time()> now)
    : options_(options), run_(std::move(run)), now_(std::move(now)), queue_(options) {
  for (int i = 0; i < options.instances; ++i) threads_.emplace_back([this, i] { loop(i); });
}

Scheduler::~Scheduler() { drain(); }

std::variant<Ticket, Refusal> Scheduler::admit(Time deadline) {
  const std::lock_guard lock(mutex_);
  if (auto refusal = queue_.admit(now_(), deadline)) return std::move(*refusal);
  return Ticket(this);
}

void Scheduler::withdraw() {
  {
    const std::lock_guard lock(mutex_);
    queue_.withdraw();
  }
  changed_.notify_all();  // a drain may wait for this place
}

void Scheduler::submit(Ticket ticket, WorkPtr work, Duration decoding) {
  BatchQueue::Dropped dropped;
  {
    const std::lock_guard lock(mutex_);
    ticket.scheduler_ = nullptr;
    const Time now = now_();
    queue_.add(std::move(work), now, decoding);
    // While all instances compute, nobody else looks at deadlines.
    dropped = queue_.sweep(now);
  }
  changed_.notify_one();
  end_all(std::move(dropped));
}

int64_t Scheduler::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.waiting();
}

void Scheduler::hurry() {
  {
    const std::lock_guard lock(mutex_);
    queue_.hurry();
  }
  changed_.notify_all();
}

void Scheduler::drain() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.close();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Scheduler::loop(int instance) {
  std::unique_lock lock(mutex_);
  while (true) {
    const Time now = now_();
    auto dropped = queue_.sweep(now);
    if (!dropped.expired.empty() || !dropped.gone.empty()) {
      lock.unlock();
      end_all(std::move(dropped));
      lock.lock();
      continue;
    }
    BatchQueue::Next next = queue_.next(now);
    if (!next.batch.empty()) {
      int64_t rows = 0;
      for (const WorkPtr& work : next.batch) rows += work->rows;
      lock.unlock();
      // What is left may wait for its delay, and this thread was perhaps the one to watch it.
      changed_.notify_one();
      run_batch(instance, next.batch);
      next.batch.clear();
      lock.lock();
      queue_.finished(rows, now_() - now);
      continue;
    }
    if (closed_ && queue_.empty()) {
      changed_.notify_all();
      return;
    }
    if (next.wake == Time::max())
      changed_.wait(lock);
    else
      changed_.wait_until(lock, next.wake);
  }
}

void Scheduler::run_batch(int instance, std::span<const WorkPtr> batch) {
  std::exception_ptr error;
  try {
    run_(instance, batch);
  } catch (...) {
    error = std::current_exception();
  }
  if (error && batch.size() > 1) {
    // One of them is at fault; the others are not to suffer for it.
    for (const WorkPtr& work : batch) run_batch(instance, {&work, 1});
    return;
  }
  const Time now = now_();
  for (const WorkPtr& work : batch) {
    work->finished = now;
    work->ended(error ? End::failed : End::done, error);
  }
}

}  // namespace espalier::serve

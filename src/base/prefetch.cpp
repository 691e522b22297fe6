#include "base/prefetch.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/threads.h"

namespace espalier {

struct Prefetch::State {
  std::function<void(int64_t)> produce;
  int64_t count = 0, ahead = 0;
  std::mutex mutex;
  std::condition_variable changed;
  int64_t produced = 0;  // items below this are ready
  int64_t taken = 0;     // items below this have been taken
  bool stop = false;
  std::exception_ptr error;  // thrown by item `produced`
  std::thread thread;

  void run() {
    SerialScope serial;
    std::unique_lock lock(mutex);
    while (produced < count) {
      changed.wait(lock, [&] { return stop || produced < taken + ahead; });
      if (stop) return;
      lock.unlock();
      std::exception_ptr thrown;
      try {
        produce(produced);
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      if (thrown) {
        error = thrown;
        changed.notify_all();
        return;
      }
      ++produced;
      changed.notify_all();
    }
  }
};

Prefetch::Prefetch(int64_t first, int64_t count, int64_t ahead,
                   std::function<void(int64_t)> produce)
    : state_(std::make_unique<State>()) {
  ESP_CHECK(ahead >= 1, "a prefetch must be allowed to run ahead");
  state_->produce = std::move(produce);
  state_->count = count;
  state_->ahead = ahead;
  state_->produced = state_->taken = first;
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

Prefetch::~Prefetch() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

void Prefetch::take(int64_t item) {
  std::unique_lock lock(state_->mutex);
  ESP_CHECK(item == state_->taken && item < state_->count, "prefetched items are taken in order");
  state_->changed.wait(lock, [&] { return state_->produced > item || state_->error; });
  if (state_->produced <= item) std::rethrow_exception(state_->error);
  state_->taken = item + 1;
  state_->changed.notify_all();
}

}  // namespace espalier

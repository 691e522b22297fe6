#include "serve/task_pool.h"

#include "base/threads.h"

namespace espalier::serve {

TaskPool::TaskPool(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { loop(); });
}

void TaskPool::finish() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void TaskPool::post(std::function<void()> task) { add(tasks_, std::move(task)); }
void TaskPool::post_urgent(std::function<void()> task) { add(urgent_, std::move(task)); }

void TaskPool::add(std::deque<std::function<void()>>& to, std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    to.push_back(std::move(task));
  }
  changed_.notify_one();
}

void TaskPool::loop() {
  const SerialScope serial;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closed_ || !urgent_.empty() || !tasks_.empty(); });
    auto& from = urgent_.empty() ? tasks_ : urgent_;
    if (from.empty()) return;
    std::function<void()> task = std::move(from.front());
    from.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds, a request's tensors perhaps, goes without the lock
    lock.lock();
  }
}

}  // namespace espalier::serve

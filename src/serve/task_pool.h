// Threads for what surrounds a computation: decoding requests, preparing pictures, encoding
// answers.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace espalier::serve {

/// First come, first served, urgent tasks before others. Loops of base/threads.h inside a task run
/// inline.
class TaskPool {
 public:
  explicit TaskPool(int threads);
  ~TaskPool() { finish(); }
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  int threads() const { return int(threads_.size()); }
  /// Tasks must not throw. How many wait is the caller's to bound.
  void post(std::function<void()> task);
  /// For what others wait for most: answers that only have to be written down.
  void post_urgent(std::function<void()> task);
  /// Runs what was posted and ends the threads; nothing may be posted any more.
  void finish();

 private:
  void add(std::deque<std::function<void()>>& to, std::function<void()> task);
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> urgent_, tasks_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace espalier::serve

// Threads: one OpenMP pool, fixed partitioning.
//
// Partition boundaries depend on the work alone, never on the thread count, where a result could
// depend on them; see parallel_chunks.
#pragma once

#include <cstdint>
#include <functional>

namespace espalier {

/// Threads that parallel loops use; at least 1. Defaults to the CPUs this process may run on.
int num_threads();
void set_num_threads(int n);
/// CPUs this process may run on.
int available_cpus();

/// While one lives, num_threads() is `n` for this thread and the OpenMP loops it starts.
class ThreadScope {
 public:
  explicit ThreadScope(int n);
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_, openmp_before_;
};

/// While one lives, parallel loops started by this thread run inline on it. For background threads,
/// which would otherwise bring a second pool to life.
class SerialScope {
 public:
  SerialScope();
  ~SerialScope();
  SerialScope(const SerialScope&) = delete;
  SerialScope& operator=(const SerialScope&) = delete;
};

/// Calls body(begin, end) on disjoint ranges covering [0, n), in parallel when n > grain.
void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

/// Calls body(chunk) for chunk in [0, chunks), each exactly once, in any order.
void parallel_chunks(int64_t chunks, const std::function<void(int64_t)>& body);

}  // namespace espalier

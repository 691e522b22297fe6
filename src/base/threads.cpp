#include "base/threads.h"

#include <omp.h>

#include <algorithm>
#include <exception>

#include "base/cpus.h"
#include "base/error.h"

namespace espalier {
namespace {
int g_threads = 0;
thread_local int t_serial_scopes = 0;
thread_local int t_threads = 0;  // a ThreadScope's; 0 outside
}  // namespace

ThreadScope::ThreadScope(int n) : before_(t_threads), openmp_before_(omp_get_max_threads()) {
  ESP_CHECK(n >= 1, "thread count must be positive");
  t_threads = n;
  if (openmp_before_ != n) omp_set_num_threads(n);
}
ThreadScope::~ThreadScope() {
  if (openmp_before_ != t_threads) omp_set_num_threads(openmp_before_);
  t_threads = before_;
}

SerialScope::SerialScope() { ++t_serial_scopes; }
SerialScope::~SerialScope() { --t_serial_scopes; }

int available_cpus() { return std::max(1, int(allowed_cpus().size())); }

int num_threads() {
  if (t_threads > 0) return t_threads;
  if (g_threads == 0) set_num_threads(available_cpus());
  return g_threads;
}

void set_num_threads(int n) {
  ESP_CHECK(n >= 1, "thread count must be positive");
  g_threads = n;
  omp_set_num_threads(n);
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t want = grain > 0 ? (n + grain - 1) / grain : n;
  const int threads = int(std::min<int64_t>(num_threads(), want));
  if (threads <= 1 || t_serial_scopes > 0 || omp_in_parallel()) {
    body(0, n);
    return;
  }
  std::exception_ptr error;
#pragma omp parallel num_threads(threads)
  {
    const int64_t t = omp_get_thread_num(), k = omp_get_num_threads();
    try {
      body(n * t / k, n * (t + 1) / k);
    } catch (...) {
#pragma omp critical(espalier_parallel_error)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

void parallel_chunks(int64_t chunks, const std::function<void(int64_t)>& body) {
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) body(c);
  });
}

}  // namespace espalier

#include "base/parallel_steps.h"

#include <atomic>
#include <exception>

#include "base/threads.h"

namespace espalier {

void parallel_steps(int64_t steps, int64_t n, int64_t grain,
                    const std::function<void(int64_t, int64_t, int64_t)>& body) {
  std::exception_ptr error;
  std::atomic<bool> failed = false;
  const auto attempt = [&](int64_t step, int64_t begin, int64_t end) {
    try {
      body(step, begin, end);
    } catch (...) {
#pragma omp critical(espalier_steps_error)
      error = std::current_exception();
      failed = true;
    }
  };
  // One range for each thread of the team.
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    const bool alone = begin == 0 && end == n;
    for (int64_t step = 0; step < steps; ++step) {
      if (!failed) attempt(step, begin, end);
      if (alone) continue;
#pragma omp barrier
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace espalier

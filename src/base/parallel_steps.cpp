#include "base/parallel_steps.h"

#include <atomic>
#include <exception>

#include "base/threads.h"

namespace espalier {

void parallel_steps(int64_t steps, int64_t n, int64_t grain,
                    const std::function<void(int64_t, int64_t, int64_t)>& body) {
  std::exception_ptr error;
  std::atomic<int64_t> last = steps;  // the step after which the loop ends
  const auto attempt = [&](int64_t step, int64_t begin, int64_t end) {
    try {
      body(step, begin, end);
    } catch (...) {
#pragma omp critical(espalier_steps_error)
      error = std::current_exception();
      last = step;
    }
  };
  // One range for each thread of the team.
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    const bool alone = begin == 0 && end == n;
    for (int64_t step = 0; step < steps; ++step) {
      if (step <= last) attempt(step, begin, end);
      if (alone) continue;
#pragma omp barrier
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace espalier

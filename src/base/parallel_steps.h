// Loops whose steps depend on each other, each step in parallel.
#pragma once

#include <cstdint>
#include <functional>

namespace espalier {

/// Calls body(step, begin, end) for each step in [0, steps) on disjoint ranges covering [0, n); a
/// step begins when the one before has ended on all threads. A range is the same thread's in every
/// step. The threads start once and meet between steps: less than a parallel_for (base/threads.h)
/// for each, whose `grain` this is. What a body throws ends the loop after its step and is thrown
/// on.
void parallel_steps(int64_t steps, int64_t n, int64_t grain,
                    const std::function<void(int64_t, int64_t, int64_t)>& body);

}  // namespace espalier

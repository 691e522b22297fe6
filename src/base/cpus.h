// Which CPUs this process may run on.
#pragma once

#include <vector>

namespace espalier {

/// Their numbers. Where OMP_PROC_BIND has bound this thread to one of OpenMP's places, those of all
/// places.
std::vector<int> allowed_cpus();

/// Lets this thread run on these CPUs alone.
void run_on(const std::vector<int>& cpus);

}  // namespace espalier

#include "base/restart.h"

#include <unistd.h>

#include <cstdlib>

#include "base/cpus.h"

namespace espalier {

void restart_with_settings(char** argv) {
  bool changed = false;
  const auto set = [&](const char* name, const char* value) {
    if (getenv(name)) return;
    changed = setenv(name, value, 1) == 0 || changed;
  };
  // About 50 us of spinning at 3-4 GHz: longer than the gap between two kernels, far shorter than
  // a scheduler tick.
  if (!getenv("OMP_WAIT_POLICY")) set("GOMP_SPINCOUNT", "30000");
  set("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
  if (!changed) return;
  // The program would take the place that OpenMP bound this thread to for all the CPUs there are.
  run_on(allowed_cpus());
  execv("/proc/self/exe", argv);  // returns only on failure: slower, no more
}

}  // namespace espalier

// What libraries read once, when the process starts.
#pragma once

namespace espalier {

/// Re-executes the program once with settings that it has no other way to make, unless the user
/// made them. Call first in main(); returns if nothing has to change.
///   GOMP_SPINCOUNT   bounded: two spinning threads on one CPU stall each other for whole scheduler
///                    ticks.
///   GLIBC_TUNABLES   large blocks lie on huge pages where the kernel hands them out on request:
///                    weights of 400 MB are otherwise 100,000 page faults.
void restart_with_settings(char** argv);

}  // namespace espalier

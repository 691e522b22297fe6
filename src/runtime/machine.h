// What this machine is, for reports and for what is measured on it.
#pragma once

#include <string>

#include "cost/tables.h"

namespace espalier {

/// "AMD EPYC 9B45, 2 CPUs, AVX-512 VNNI BF16": the processor as the system names it, the CPUs this
/// process may use, and the vector extensions kernels can draw on.
std::string describe_machine();

/// What measurements made now, on that many threads, are true of.
MachineId machine_id(int threads);

}  // namespace espalier

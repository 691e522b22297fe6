// What this machine is, for reports.
#pragma once

#include <string>

namespace espalier {

/// "AMD EPYC 9B45, 2 CPUs, AVX-512 VNNI BF16": the processor as the system names it, the CPUs this
/// process may use, and the vector extensions kernels can draw on.
std::string describe_machine();

}  // namespace espalier

#include "kernels/simd.h"

#include <hwy/highway.h>

#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace espalier::kernels {

namespace {

/// Asked for what there is, Highway 1.0.3 takes all that the processor has for the loops to run on,
/// what was disabled too; it leaves it to who asks to say otherwise.
int64_t supported_targets() {
  const int64_t targets = hwy::SupportedTargets();
  hwy::GetChosenTarget().Update(targets);
  return targets;
}

}  // namespace

void limit_instruction_set() {
  static const bool done = [] {
    const char* limit = std::getenv("ESPALIER_MAX_ISA");
    if (!limit || !*limit) return true;
    const std::string_view isa = limit;
    if (isa == "AVX2")
      hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
    else if (isa == "BASELINE")
      hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL | HWY_AVX2);
    else if (isa != "AVX512")  // which only `has_vnni` asks for
      throw usage_error("ESPALIER_MAX_ISA", "'" + std::string(isa) + "' is not known",
                        "AVX512, AVX2 and BASELINE are");
    supported_targets();
    return true;
  }();
  static_cast<void>(done);
}

const char* instruction_set() {
  limit_instruction_set();
  const int64_t targets = supported_targets() & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);
}

bool has_matrix_tiles() {
  // Leaf 7: EDX bit 25 is AMX-INT8.
  unsigned a = 0, b = 0, c = 0, d = 0;
  __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
  return (d >> 25) & 1;
}

}  // namespace espalier::kernels

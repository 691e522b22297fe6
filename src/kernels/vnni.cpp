#include "kernels/vnni.h"

#include <cstdlib>
#include <string_view>

#include "kernels/simd.h"

namespace espalier::kernels {

bool has_vnni() {
  static const bool has = [] {
    const char* limit = std::getenv("ESPALIER_MAX_ISA");
    if (limit && std::string_view(limit) == "AVX512") return false;
    __builtin_cpu_init();
    return std::string_view(instruction_set()).starts_with("AVX3") &&
           __builtin_cpu_supports("avx512vnni");
  }();
  return has;
}

}  // namespace espalier::kernels

#include "runtime/machine.h"

#include <fstream>
#include <sstream>

#include "base/threads.h"

namespace espalier {

std::string describe_machine() {
  std::ifstream file("/proc/cpuinfo");
  std::string line, model = "unknown processor", flags;
  while (std::getline(file, line) && (flags.empty() || model == "unknown processor")) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    if (line.starts_with("model name")) model = line.substr(colon + 2);
    if (line.starts_with("flags")) flags = line.substr(colon + 1) + " ";
  }
  const auto has = [&](const std::string& flag) {
    return flags.find(" " + flag + " ") != std::string::npos;
  };
  std::string isa = has("avx512f") ? "AVX-512" : has("avx2") ? "AVX2" : "no AVX2";
  if (has("avx512_vnni") || has("avx_vnni")) isa += " VNNI";
  if (has("avx512_bf16")) isa += " BF16";
  if (has("amx_tile")) isa += " AMX";
  return model + ", " + std::to_string(available_cpus()) + " CPUs, " + isa;
}

}  // namespace espalier

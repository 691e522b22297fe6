#include "runtime/machine.h"

#include <fstream>
#include <string>

#include "base/threads.h"
#include "kernels/primitive.h"
#include "kernels/simd.h"

namespace espalier {

namespace {

/// The first line of /proc/cpuinfo that begins with `key`, behind its colon; empty where none does.
std::string cpu_fact(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && line.starts_with(key)) return line.substr(colon + 2);
  }
  return "";
}

std::string processor() {
  const std::string name = cpu_fact("model name");
  return name.empty() ? "unknown processor" : name;
}

}  // namespace

std::string describe_machine() {
  const std::string flags = " " + cpu_fact("flags") + " ";
  const auto has = [&](const std::string& flag) {
    return flags.find(" " + flag + " ") != std::string::npos;
  };
  std::string isa = has("avx512f") ? "AVX-512" : has("avx2") ? "AVX2" : "no AVX2";
  if (has("avx512_vnni") || has("avx_vnni")) isa += " VNNI";
  if (has("avx512_bf16")) isa += " BF16";
  if (has("amx_tile")) isa += " AMX";
  return processor() + ", " + std::to_string(available_cpus()) + " CPUs, " + isa;
}

MachineId machine_id(int threads) {
  kernels::limit_instruction_set();
  return {processor(),
          std::string(kernels::instruction_set()) + " and " + kernels::onednn_instruction_set(),
          kernels::onednn_version(), threads};
}

}  // namespace espalier

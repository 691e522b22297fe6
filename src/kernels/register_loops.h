// Multiply-accumulates on registers alone: what no kernel of this machine can exceed.
#pragma once

#include <cstdint>
#include <optional>

#include "tensor/dtype.h"

namespace espalier::kernels {

/// Independent chains of one vector instruction, long enough to hide its latency.
struct RegisterLoop {
  double macs_per_pass = 0;
  void (*run)(int64_t passes) = nullptr;
};

/// For f32, bf16 (sums in f32) or i8 (sums in i32), with the widest instruction that
/// ESPALIER_MAX_ISA allows. Nothing where there is none, and for bf16 and i8 where the machine
/// multiplies by matrix tiles (AMX), whose rate vector instructions do not tell.
std::optional<RegisterLoop> register_loop(DType type);

}  // namespace espalier::kernels

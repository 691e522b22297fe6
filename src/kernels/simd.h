// Which vector instruction sets our own loops are compiled for: AVX2, AVX-512 and a portable
// fallback, chosen at run time by Highway. Include before any Highway header.
#pragma once

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif

namespace espalier::kernels {

/// ESPALIER_MAX_ISA=AVX512 (kernels/vnni.h), AVX2 or BASELINE keeps our loops off what lies beyond,
/// as ONEDNN_MAX_CPU_ISA does for oneDNN. Read once; called before kernels are bound.
void limit_instruction_set();
/// "AVX3", "AVX2", …: what our loops run on.
const char* instruction_set();
/// Whether the processor multiplies 8-bit integers by matrix tiles (AMX).
bool has_matrix_tiles();

}  // namespace espalier::kernels

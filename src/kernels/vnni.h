// Dot products of four 8-bit integers in one instruction.
#pragma once

namespace espalier::kernels {

/// Whether our loops may take those of AVX-512: the processor has them, and ESPALIER_MAX_ISA,
/// which may be AVX512 to mean all of it but these, does not forbid them.
bool has_vnni();

}  // namespace espalier::kernels

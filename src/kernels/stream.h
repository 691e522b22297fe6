// Reading memory as fast as it goes: what bandwidths are measured with.
#pragma once

#include <cstdint>

namespace espalier::kernels {

/// The exclusive or of `n` words, a multiple of 64; `x` is aligned to 64 bytes.
uint64_t read_words(const uint64_t* x, int64_t n);

}  // namespace espalier::kernels

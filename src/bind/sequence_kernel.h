// A prepared oneDNN sequence as a kernel.
#pragma once

#include "bind/kernel.h"
#include "kernels/primitive.h"

namespace espalier::bind {

/// Named "onednn.conv brgconv:avx512_core".
KernelPtr sequence_kernel(const std::string& family,
                          std::shared_ptr<const kernels::PrimitiveSequence> sequence);

}  // namespace espalier::bind

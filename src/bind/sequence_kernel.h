// A prepared oneDNN sequence as a kernel, by itself or with pointwise steps of ours after it.
#pragma once

#include <vector>

#include "bind/kernel.h"
#include "kernels/pointwise.h"
#include "kernels/primitive.h"

namespace espalier::bind {

/// Named "onednn.conv brgconv:avx512_core".
KernelPtr sequence_kernel(const std::string& family,
                          std::shared_ptr<const kernels::PrimitiveSequence> sequence);

/// The sequence, whose result 0 is `chain`'s first operand, then the chain; its other operands are
/// those of `more`. It works in place, or with `between` bytes between the two.
KernelPtr chained_kernel(const std::string& family,
                         std::shared_ptr<const kernels::PrimitiveSequence> sequence,
                         std::shared_ptr<const kernels::PointwiseKernel> chain,
                         std::vector<size_t> more, size_t between);

}  // namespace espalier::bind

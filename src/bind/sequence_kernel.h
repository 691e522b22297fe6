// A prepared oneDNN sequence as a kernel, by itself or with pointwise steps of ours after it.
#pragma once

#include "bind/kernel.h"
#include "kernels/pointwise.h"
#include "kernels/primitive.h"

namespace espalier::bind {

/// Named "onednn.conv brgconv:avx512_core".
KernelPtr sequence_kernel(const std::string& family,
                          std::shared_ptr<const kernels::PrimitiveSequence> sequence);

/// The sequence, whose result 0 is `chain`'s one operand, then the chain. Where they are of one
/// type the chain works in place; else `between` bytes are kept between them.
KernelPtr chained_kernel(const std::string& family,
                         std::shared_ptr<const kernels::PrimitiveSequence> sequence,
                         std::shared_ptr<const kernels::PointwiseKernel> chain, size_t between);

}  // namespace espalier::bind

// Weights in the layouts kernels want, held once for all that want the same: programs of one
// network for other shapes or other numbers of threads, and networks that share weights.
#pragma once

#include <memory>

#include "kernels/onednn.h"

namespace espalier::kernels {

/// `data`, laid out as `from`, as `to`: what is held already if anybody still holds it. Weights are
/// told apart by their contents, not by where they stand. Any thread may call.
std::shared_ptr<const dnnl::memory> packed_weights(const dnnl::memory::desc& from, const void* data,
                                                   const dnnl::memory::desc& to);

}  // namespace espalier::kernels

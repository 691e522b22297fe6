// Which kernels were chosen by measuring: what binding asks before it takes a kernel that is faster
// only sometimes.
#pragma once

#include <optional>

#include "kernels/jit/gemm.h"

namespace espalier {

class KernelChoices {
 public:
  virtual ~KernelChoices() = default;
  /// How generated code cuts this product; nothing where another kernel shall serve it. Any thread
  /// may call.
  virtual std::optional<kernels::GemmTile> tile_for(const kernels::GemmProblem& problem) const = 0;
};

}  // namespace espalier

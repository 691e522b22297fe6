// Where a kernel of a region finds what the region's body reads.
#pragma once

#include <algorithm>

#include "bind/kernel.h"
#include "ir/graph.h"

namespace espalier::bind {

/// An operand of the request, or a constant of the region (which its body keeps alive).
struct RegionSource {
  int operand = -1;
  const void* constant = nullptr;
  const void* address(const KernelArgs& k) const {
    return operand >= 0 ? k.in[size_t(operand)] : constant;
  }
};

/// Of an input or a constant of the body.
inline RegionSource region_source(const Graph& body, ValueId v) {
  const auto inputs = body.inputs();
  if (const auto at = std::ranges::find(inputs, v); at != inputs.end())
    return {int(at - inputs.begin()), nullptr};
  return {-1, body.value(v).constant->raw()};
}

}  // namespace espalier::bind

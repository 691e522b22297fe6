// Reshapes that leave the first extent, a batch most often, as it is.
#pragma once

#include "ir/builder.h"

namespace espalier::ops {

/// a [N, ...] as [N, rest...], whether N is known or not. Where it is known, an extent of 0 in
/// `rest` is none, not a copy of the operand's.
inline ValueId reshape_behind_first(Builder& b, ValueId a, std::vector<int64_t> rest) {
  const Dim first = b.type(a).dims.at(0);
  rest.insert(rest.begin(), first.known() ? first.value() : 0);
  return b.one("Reshape", {a, b.ints(std::move(rest))}, {{"allowzero", int64_t{first.known()}}});
}

}  // namespace espalier::ops

// What the adapters of com.microsoft share.
#pragma once

#include "onnx/adapt.h"

namespace espalier {

/// An operator of ONNX Runtime's that is written in standard operators. Its operands are tensors of
/// known rank when the adapter sees them.
constexpr Adapter microsoft(std::string_view op, AdaptFunction apply) {
  return {op, 1, kEveryOpset, apply, "", "com.microsoft"};
}

/// The real numbers of `v`; its zero point may be omitted (kNoValue), its scales are along `axis`.
inline ValueId dequantized(Builder& b, ValueId v, ValueId scale, ValueId zero, int64_t axis = 1) {
  Values operands = {v, scale};
  if (zero != kNoValue) operands.push_back(zero);
  return b.one("DequantizeLinear", operands, {{"axis", axis}});
}

}  // namespace espalier

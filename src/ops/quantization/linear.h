// What QuantizeLinear and DequantizeLinear share: operands x, scale and an optional zero point, the
// latter two scalars, lists along one axis, or of operand 0's rank with one entry for each block of
// elements along the axis.
#pragma once

#include <functional>
#include <utility>

#include "ops/common.h"

namespace espalier::ops {

struct LinearQuant {
  int64_t axis = 1;
  int64_t block_size = 0;  ///< 0: no blocks
};

/// Checks scale (operand 1) and zero point (operand 2) against each other and operand 0.
void check_scales(const LinearQuant& a, const TypesIn& in);

/// Axes of operand 0 tie to the result's, the one with scales of its own also to these. A zero
/// passes if the zero point is known to be zero.
AxisMap quantized_axes(const LinearQuant& a, const TypesIn& in, const Types&);

/// Calls f(i, index into the scales) for every element i of a tensor of that shape.
template <class F>
void for_each_scaled(const LinearQuant& a, const Shape& shape, int64_t scales, bool per_axis, F f) {
  if (a.block_size > 0) {
    const auto at = size_t(a.axis < 0 ? a.axis + int64_t(shape.size()) : a.axis);
    const int64_t behind = product(shape, at + 1, shape.size());
    const int64_t blocks = (shape[at] - 1) / a.block_size + 1;
    for (int64_t i = 0; i < numel(shape); ++i) {
      const int64_t o = i / behind / shape[at], k = i / behind % shape[at];
      f(size_t(i), size_t((o * blocks + k / a.block_size) * behind + i % behind));
    }
    return;
  }
  const auto axis = per_axis ? size_t(a.axis < 0 ? a.axis + int64_t(shape.size()) : a.axis) : 0;
  const int64_t inner = per_axis ? product(shape, axis + 1, shape.size()) : 1;
  for (int64_t i = 0; i < numel(shape); ++i)
    f(size_t(i), per_axis ? size_t(i / inner % scales) : size_t{0});
}

/// The integer types a quantised value may have.
inline bool is_quantized(DType t) {
  return t == DType::u8 || t == DType::i8 || t == DType::u16 || t == DType::i16;
}
/// Rounded half to even, shifted and saturated; NaN becomes the zero point.
int64_t quantized(double scaled, int64_t zero_point, DType to);

/// The least and the largest integer of a quantised type.
std::pair<int64_t, int64_t> limits_of(DType t);
/// The walk of for_each_scaled in C: `body` gets the element and its scale's index.
void emit_scaled(const LinearQuant& a, CWriter& c,
                 const std::function<void(const std::string& at, const std::string& scale)>& body);

}  // namespace espalier::ops

// Integer contractions in C: what quantised regions and the integer operators share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ops/emit.h"
#include "ops/linear/conv.h"
#include "ops/linear/gemm.h"

namespace espalier::ops {

/// 8-bit integers at a pointer, with one zero point as an expression.
struct BytesInC {
  std::string pointer;
  DType type = DType::u8;
  std::string zero = "0";
};
/// Weights less their zero points, as a constant array or, where they are not known, computed into
/// scratch memory.
struct WeightsInC {
  std::string pointer;
  bool wide = false;  ///< int16 instead of int8
};

/// Operand `i` as bytes; `zero_slot` is the operand that holds its zero point, if any.
BytesInC bytes_in_c(CWriter& c, size_t i, size_t zero_slot);
/// A quantised operand as bytes.
BytesInC bytes_in_c(const CQuantised& q);
/// Operand `i` as weights, its zero points (a number or a list along `axis`) in `zero_slot`.
WeightsInC weights_in_c(CWriter& c, size_t i, size_t zero_slot, int64_t axis);
/// Quantised constants, or s8 that are centred, as weights.
WeightsInC weights_in_c(CWriter& c, const CQuantised& q);

/// Writes one result from its integer sum and its channel (or column), expressions all.
using StoreSum =
    std::function<void(const std::string& at, const std::string& sum, const std::string& channel)>;
/// Every sum of the convolution (no bias), in the order of the result.
void emit_integer_conv(CWriter& c, const Conv& a, const Shape& x, const Shape& w,
                       const BytesInC& bytes, const WeightsInC& weights, const StoreSum& store);
/// Every sum of the product. `y` is where its results begin.
void emit_integer_matmul(CWriter& c, const MatmulInC& p, const BytesInC& a,
                         const WeightsInC& weights, const std::string& y, const StoreSum& store);

/// Stores a sum times these operands (scales, lists by channel), quantised with operand `to_scale`
/// and `to_zero`, as result 0.
void store_requantised(CWriter& c, const std::string& at, const std::string& sum,
                       std::initializer_list<size_t> scales, const std::string& channel,
                       size_t to_scale, size_t to_zero);

/// The product of 8-bit operands `a` and `b` (numpy's matmul) whose zero points are operands, one
/// or a list along rows and columns.
void emit_byte_matmul(CWriter& c, size_t a, size_t a_zero, size_t b, size_t b_zero,
                      const StoreSum& store);

/// What turns the sums of a quantised region into real numbers: real = sum * scale + bias, one of
/// each or one for each channel.
struct RealOfSum {
  std::string scales, biases;  ///< arrays; no bias: empty
  bool scale_each = false, bias_each = false;

  std::string operator()(const std::string& sum, const std::string& channel) const;
};
/// For operands 0 and 1, which are quantised, and the bias in operand 2 if there is one.
RealOfSum real_of_sum(CWriter& c, double alpha = 1);
/// Whether the node is a quantised region's, with weights that are known or s8 and centred and
/// scales that fit: one of operand 0, one or a list along `weight_axis` of operand 1.
bool runs_on_integers(const CWriter& c, int64_t weight_axis);

}  // namespace espalier::ops

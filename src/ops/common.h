// What rooms share: broadcasting inference, strided loops, frequent refusals.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "ir/builder.h"
#include "ir/room.h"

namespace espalier::ops {

/// numpy broadcasting of two dimension lists. Symbolic extents meet themselves or 1; a symbolic
/// extent against a number > 1 is taken to be that number. UserError at `in`'s node otherwise.
Dims broadcast_dims(const TypesIn& in, const Dims& a, const Dims& b);
/// The broadcast of all operands' dimensions.
Dims broadcast_dims(const TypesIn& in);
/// Refuses operands of different element types.
void require_same_dtype(const TypesIn& in, size_t first, size_t last);
/// Refuses operands in [first, last) that are no numbers (booleans and strings).
void require_numeric(const TypesIn& in, size_t first, size_t last);
/// Refuses an operand that is no float tensor.
void require_float(const TypesIn& in, size_t i);
/// Refuses an operand of another rank.
void require_rank(const TypesIn& in, size_t i, int64_t rank);
/// Refuses a gradient whose dimensions are known not to be those of `result`.
void require_like_result(const TypesIn& in, size_t operand, const TensorType& result);
/// A normalised axis of operand i.
int64_t axis_of(const TypesIn& in, size_t i, int64_t axis);

/// Result type of unary operators: that of operand 0.
Types same_as_input(const TypesIn& in);
/// Result type of broadcasting arithmetic: all operands of one numeric type, which is the result's.
Types arithmetic_type(const TypesIn& in);

/// The values of operand i, a list of i64 or i32 (shape, axes, sizes), or nothing while they are
/// unknown. UserError if it is no such list.
std::optional<std::vector<int64_t>> list_of(const TypesIn& in, size_t i);
/// The length of such a list. UserError while even that is unknown.
int64_t list_length(const TypesIn& in, size_t i);
/// Which axes of a tensor of that rank are named. UserError for axes outside it or named twice.
std::vector<bool> axis_mask(const TypesIn& in, std::span<const int64_t> axes, int64_t rank);
/// The extents of v as an operand: constant where they are numbers.
ValueId shape_of(Builder& b, ValueId v);
/// Zeros like v.
ValueId zeros_like(Builder& b, ValueId v);

/// Calls body(i, offset_0, offset_1, …) for every element i of `shape` in row-major order, with the
/// element offsets under each stride list.
template <size_t N, class Body>
void for_each_offset(std::span<const int64_t> shape,
                     const std::array<std::vector<int64_t>, N>& strides, Body body) {
  const int64_t count = numel(shape);
  std::vector<int64_t> index(shape.size(), 0);
  std::array<int64_t, N> offset{};
  for (int64_t i = 0; i < count; ++i) {
    body(i, offset);
    for (size_t d = shape.size(); d-- > 0;) {
      for (size_t n = 0; n < N; ++n) offset[n] += strides[n][d];
      if (++index[d] < shape[d]) break;
      for (size_t n = 0; n < N; ++n) offset[n] -= strides[n][d] * shape[d];
      index[d] = 0;
    }
  }
}

/// Loops of a broadcasting binary operator: y[i] = f(a[i], b[i]).
template <class Real, class F>
void binary_loop(Ref<Real>& r, F f) {
  const std::array<std::vector<int64_t>, 2> strides = {
      broadcast_strides(r.shape(0), r.out_shape(0)), broadcast_strides(r.shape(1), r.out_shape(0))};
  const auto run = [&](auto a, auto b, auto y) {
    for_each_offset<2>(r.out_shape(0), strides, [&](int64_t i, const std::array<int64_t, 2>& o) {
      y[size_t(i)] = f(a[size_t(o[0])], b[size_t(o[1])]);
    });
  };
  if (r.is_real(0)) {
    if (r.out_is_real(0))
      run(r.real(0), r.real(1), r.out_real(0));
    else
      run(r.real(0), r.real(1), r.out_ints(0));
  } else {
    run(r.ints(0), r.ints(1), r.out_ints(0));
  }
}

/// Loops of a unary float operator: y[i] = f(x[i]).
template <class Real, class F>
void unary_loop(Ref<Real>& r, F f) {
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for (size_t i = 0; i < x.size(); ++i) y[i] = f(x[i]);
}

inline Refuse no_quantize() { return Refuse{"has no integer form"}; }
inline Refuse no_expand() { return Refuse{"is elementary"}; }
inline Refuse not_pointwise() { return Refuse{"is not pointwise"}; }
inline Refuse no_c_form() { return Refuse{"is not written in C yet"}; }
inline Refuse trains_only() { return Refuse{"belongs to training, which C code does not do"}; }
inline Refuse draws_at_random() { return Refuse{"draws at random, which C code does not do"}; }
inline Refuse sized_by_data() { return Refuse{"has results whose size depends on data"}; }
inline Refuse needs_growing_memory() {
  return Refuse{"handles text or sequences, for which C code has no memory"};
}
inline Refuse not_differentiable() { return Refuse{"is not differentiable"}; }

}  // namespace espalier::ops

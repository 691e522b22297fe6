#include "ops/common.h"

namespace espalier::ops {

Dims broadcast_dims(const TypesIn& in, const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t lead_a = out.size() - a.size(), lead_b = out.size() - b.size();
    const Dim x = i < lead_a ? Dim(1) : a[i - lead_a];
    const Dim y = i < lead_b ? Dim(1) : b[i - lead_b];
    if (x == y || y.is(1))
      out[i] = x;
    else if (x.is(1))
      out[i] = y;
    else if (x.known() && y.known())
      in.fail("extents " + to_string(x) + " and " + to_string(y) + " do not broadcast");
    else if (x.known() || y.known())
      out[i] = x.known() ? x : y;
    else
      out[i] = Dim::unknown();
  }
  return out;
}

Dims broadcast_dims(const TypesIn& in) {
  Dims dims;
  for (size_t i = 0; i < in.size(); ++i)
    if (in.has(i)) dims = broadcast_dims(in, dims, in[i].dims);
  return dims;
}

void require_same_dtype(const TypesIn& in, size_t first, size_t last) {
  for (size_t i = first + 1; i < last; ++i)
    if (in.has(i) && in[i].dtype != in[first].dtype)
      in.fail("operands are " + std::string(name_of(in[first].dtype)) + " and " +
                  std::string(name_of(in[i].dtype)),
              "both must have the same element type; insert a Cast");
}

void require_numeric(const TypesIn& in, size_t first, size_t last) {
  for (size_t i = first; i < last; ++i)
    if (in.has(i) && !is_float(in[i].dtype) && !is_int(in[i].dtype))
      in.fail("operand " + std::to_string(i) + " is " + std::string(name_of(in[i].dtype)) +
              ", a numeric type is needed");
}

void require_float(const TypesIn& in, size_t i) {
  if (!is_float(in[i].dtype))
    in.fail("operand " + std::to_string(i) + " is " + std::string(name_of(in[i].dtype)) +
            ", a float type is needed");
}

void require_rank(const TypesIn& in, size_t i, int64_t rank) {
  if (in[i].rank() != rank)
    in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + ", rank " +
            std::to_string(rank) + " is needed");
}

void require_like_result(const TypesIn& in, size_t operand, const TensorType& result) {
  const TensorType& given = in[operand];
  bool fits = given.rank() == result.rank();
  for (size_t i = 0; fits && i < given.dims.size(); ++i)
    fits = !given.dims[i].known() || !result.dims[i].known() ||
           given.dims[i].is(result.dims[i].value());
  if (!fits)
    in.fail("operand " + std::to_string(operand) + " is " + to_string(given) +
            ", the forward result is " + to_string(result));
}

int64_t axis_of(const TypesIn& in, size_t i, int64_t axis) {
  return normal_axis(axis, in[i].rank(), in.where());
}

Types same_as_input(const TypesIn& in) { return {in[0]}; }

std::optional<std::vector<int64_t>> list_of(const TypesIn& in, size_t i) {
  const DType dtype = in[i].dtype;
  if ((dtype != DType::i64 && dtype != DType::i32) || in[i].rank() != 1)
    in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) +
            ", a list of integers is needed");
  return in.ints(i);
}

int64_t list_length(const TypesIn& in, size_t i) {
  constexpr int64_t kMost = 1 << 16;  // a file may say anything
  if (in[i].rank() != 1 || !in[i].dims[0].known())
    in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) +
            ", a list of known length is needed");
  const int64_t length = in[i].dims[0].value();
  if (length > kMost)
    in.fail("operand " + std::to_string(i) + " lists " + std::to_string(length) + " numbers, " +
            std::to_string(kMost) + " are the most");
  return length;
}

std::vector<bool> axis_mask(const TypesIn& in, std::span<const int64_t> axes, int64_t rank) {
  std::vector<bool> mask(size_t(rank), false);
  for (int64_t given : axes) {
    const auto axis = size_t(normal_axis(given, rank, in.where()));
    if (mask[axis]) in.fail("axis " + std::to_string(given) + " is named twice");
    mask[axis] = true;
  }
  return mask;
}

ValueId shape_of(Builder& b, ValueId v) {
  return b.type(v).is_static() ? b.ints(b.type(v).shape()) : b.one("Shape", {v});
}

ValueId zeros_like(Builder& b, ValueId v) {
  return b.one("Expand", {b.scalar(0, v), shape_of(b, v)});
}

Types arithmetic_type(const TypesIn& in) {
  require_numeric(in, 0, in.size());
  require_same_dtype(in, 0, in.size());
  return {TensorType(in[0].dtype, broadcast_dims(in))};
}

}  // namespace espalier::ops

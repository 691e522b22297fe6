#include "ops/quantization/integer.h"

#include "base/error.h"

namespace espalier::ops {

ValueId operand(const Values& in, size_t i) { return i < in.size() ? in[i] : kNoValue; }

ValueId along(Builder& b, ValueId list, int64_t axis, int64_t rank) {
  const ValueId wide = b.cast(list, DType::f64);
  if (b.type(list).rank() != 1) return wide;
  std::vector<int64_t> shape(size_t(rank), 1);
  shape[size_t(normal_axis(axis, rank, "a list of scales or zero points"))] = -1;
  return b.reshape(wide, shape);
}

ValueId centred(Builder& b, ValueId v, ValueId zero_point, int64_t axis, const char* where) {
  const TensorType type = b.type(v);
  if (type.dtype != DType::u8 && type.dtype != DType::i8)
    throw bad_input(where, "an operand is " + to_string(type) + ", u8 or i8 is needed");
  const ValueId wide = b.cast(v, DType::f64);
  if (zero_point == kNoValue) return wide;
  if (b.type(zero_point).dtype != type.dtype || b.type(zero_point).rank() > 1)
    throw bad_input(where, "the zero point " + to_string(b.type(zero_point)) + " of " +
                               to_string(type) + " is neither a number nor a list of its type");
  return b.sub(wide, along(b, zero_point, axis, type.rank()));
}

ValueId requantized(Builder& b, ValueId sum, ValueId scale, ValueId to_scale, ValueId to_zero) {
  return b.one("QuantizeLinear", {b.mul(sum, scale), b.cast(to_scale, DType::f64), to_zero});
}

}  // namespace espalier::ops

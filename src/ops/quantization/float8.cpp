#include "ops/quantization/float8.h"

namespace espalier::ops {

void check_float8(const Float8Attributes& a, const TypesIn& in) {
  if (!float8_named(a.format))
    in.fail("there is no 8-bit format '" + a.format + "'", "known: e4m3, e5m2");
  if (a.group < 0) in.fail("a group cannot have " + std::to_string(a.group) + " elements");
}

TensorType float8_scales(const Float8Attributes& a, const Dims& of) {
  const Float8Groups groups = a.groups();
  const TensorType numbers(DType::u8, of);
  const Dim count =
      numbers.is_static() ? Dim(groups.count(numbers.numel())) : Dim::symbol("groups");
  return {DType::bf16, Dims{count, Dim(groups.beside())}};
}

}  // namespace espalier::ops

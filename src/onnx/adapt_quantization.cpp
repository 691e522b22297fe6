// Adapters of quantisation: opset 19 brought 8-bit floats, opset 21 blocks, a type for the result,
// and integers of 4 bits, which are kept in 8 and cut off where 4 bits end.
#include <algorithm>
#include <array>

#include "ir/room.h"
#include "onnx/adapt.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

constexpr std::array kQuantisedTypes = {DType::u8, DType::i8, DType::u16, DType::i16};

/// Zeros of that type in the scale's shape.
ValueId zero_points(Call& c, DType type) {
  const TensorType& scale = c.type(1);
  if (!scale.is_static()) c.refuse("has scales of unknown shape and no zero points");
  return c.b.constant(Tensor(type, scale.shape()));
}

Result dequantize(Call& c) {
  c.attrs.erase("saturate");
  return std::nullopt;
}

Result quantize(Call& c) {
  c.attrs.erase("saturate");
  const auto type = c.take_int("output_dtype").value_or(0);
  bool four_bit = c.has(2) && c.four_bit.contains(c.inputs[2]);
  if (type != 0 && !c.has(2)) {
    const DType to = element_type(int32_t(type), c.where);
    if (std::find(kQuantisedTypes.begin(), kQuantisedTypes.end(), to) == kQuantisedTypes.end())
      c.malformed("output_dtype is " + std::string(name_of(to)) + ", no type to quantise to");
    c.set_input(2, zero_points(c, to));
    four_bit = has_four_bits(int32_t(type));
  }
  if (!four_bit) return std::nullopt;
  const ValueId wide = c.b.one("QuantizeLinear", c.inputs, c.attrs, c.name);
  const bool is_signed = c.b.type(wide).dtype == DType::i8;
  const ValueId low = c.b.scalar(is_signed ? -8 : 0, wide),
                high = c.b.scalar(is_signed ? 7 : 15, wide);
  const ValueId narrow = c.b.one("Clip", {wide, low, high});
  c.four_bit.insert(narrow);
  return Values{narrow};
}

constexpr std::array kAdapters = {
    Adapter{"DequantizeLinear", 19, kEveryOpset, dequantize},
    Adapter{"QuantizeLinear", 19, kEveryOpset, quantize},
};

}  // namespace

std::span<const Adapter> quantization_adapters() { return kAdapters; }

}  // namespace espalier

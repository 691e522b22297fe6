// Adapters of pointwise operators: explicit broadcasting before opset 7, attributes that became
// operands.
#include <array>

#include "ir/room.h"
#include "onnx/adapt.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

/// `v` with `count` axes of extent 1 appended: constants are reshaped themselves, so that a weight
/// stays a direct operand.
ValueId with_trailing_axes(Call& c, ValueId v, int64_t count) {
  const TensorType type = c.b.type(v);
  if (const auto& constant = c.b.graph().value(v).constant) {
    Shape shape = constant->shape();
    shape.resize(shape.size() + size_t(count), 1);
    return c.b.constant(constant->reshaped(shape));
  }
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < count; ++i) axes.push_back(type.rank() + i);
  return c.b.one("Unsqueeze", {v, c.b.ints(axes)});
}

// Before opset 7 operand 1 was broadcast only if asked for, its axes beginning at `axis`.
Result explicit_broadcast(Call& c) {
  const bool broadcast = c.take_int("broadcast").value_or(0) != 0;
  const auto axis = c.take_int("axis");
  if (!broadcast || !axis || c.inputs.size() < 2) return std::nullopt;
  const int64_t rank = c.type(0).rank(), small = c.type(1).rank();
  const int64_t first = *axis < 0 ? *axis + rank : *axis;
  if (first < 0 || first > rank - small)
    c.malformed("axis " + std::to_string(*axis) + " is out of range");
  const int64_t trailing = rank - small - first;
  if (trailing > 0) c.inputs[1] = with_trailing_axes(c, c.inputs[1], trailing);
  return std::nullopt;
}

// Before opset 7 a slope of several numbers belonged to the channels (axis 1).
Result slope_per_channel(Call& c) {
  const TensorType& slope = c.type(1);
  const int64_t trailing = c.type(0).rank() - 2;
  if (slope.rank() == 1 && !slope.dims[0].is(1) && trailing > 0)
    c.inputs[1] = with_trailing_axes(c, c.inputs[1], trailing);
  return std::nullopt;
}

// Before opset 11 the bounds were attributes.
Result bounds_to_operands(Call& c) {
  const auto low = c.take_float("min"), high = c.take_float("max");
  c.type(0);
  if (low) c.set_input(1, c.b.scalar(*low, c.inputs[0]));
  if (high) c.set_input(2, c.b.scalar(*high, c.inputs[0]));
  return std::nullopt;
}

// Before opset 6 the element type was spelled.
Result spelled_type(Call& c) {
  static const std::map<std::string, DType> kNames = {
      {"FLOAT", DType::f32},    {"DOUBLE", DType::f64}, {"FLOAT16", DType::f16},
      {"INT64", DType::i64},    {"INT32", DType::i32},  {"INT16", DType::i16},
      {"INT8", DType::i8},      {"UINT64", DType::u64}, {"UINT32", DType::u32},
      {"UINT16", DType::u16},   {"UINT8", DType::u8},   {"BOOL", DType::boolean},
      {"STRING", DType::string}};
  const auto name = c.take_string("to");
  if (!name) c.malformed("attribute 'to' is missing");
  const auto it = kNames.find(*name);
  if (it == kNames.end()) c.malformed("attribute 'to' is '" + *name + "', which is no type");
  c.attrs["to"] = detail::onnx_number(it->second);
  return std::nullopt;
}

// Saturation concerns 8-bit floats only. Integers of 4 bits (opset 21) are kept in 8, in which a
// cast would wrap elsewhere.
Result drop_saturate(Call& c) {
  c.attrs.erase("saturate");
  if (const auto it = c.attrs.find("to"); it != c.attrs.end())
    if (const int64_t* to = std::get_if<int64_t>(&it->second); to && has_four_bits(int32_t(*to)))
      c.refuse("casts to 4-bit integers, which are supported as stored weights alone",
               "quantise with QuantizeLinear instead");
  return std::nullopt;
}

Result cast_like(Call& c) {
  if (c.has(1) && c.four_bit.contains(c.inputs[1]))
    c.refuse("casts to 4-bit integers, which are supported as stored weights alone");
  c.attrs.erase("saturate");
  c.attrs["to"] = detail::onnx_number(c.type(1).dtype);
  c.drop_inputs(1);
  c.op = "Cast";
  return std::nullopt;
}

// Before opset 6 the defaults were rounded.
Result rounded_defaults(Call& c) {
  c.attrs.emplace("alpha", 1.6732f);
  c.attrs.emplace("gamma", 1.0507f);
  return std::nullopt;
}

constexpr std::array kAdapters = {
    Adapter{"Add", 1, 7, explicit_broadcast},
    Adapter{"Sub", 1, 7, explicit_broadcast},
    Adapter{"Mul", 1, 7, explicit_broadcast},
    Adapter{"Div", 1, 7, explicit_broadcast},
    Adapter{"Pow", 1, 7, explicit_broadcast},
    Adapter{"And", 1, 7, explicit_broadcast},
    Adapter{"Or", 1, 7, explicit_broadcast},
    Adapter{"Xor", 1, 7, explicit_broadcast},
    Adapter{"Equal", 1, 7, explicit_broadcast},
    Adapter{"Less", 1, 7, explicit_broadcast},
    Adapter{"Greater", 1, 7, explicit_broadcast},
    Adapter{"PRelu", 1, 7, slope_per_channel},
    Adapter{"Clip", 1, 11, bounds_to_operands},
    Adapter{"Cast", 1, 6, spelled_type},
    Adapter{"Cast", 19, kEveryOpset, drop_saturate},
    Adapter{"CastLike", 15, kEveryOpset, cast_like, "Cast"},
    Adapter{"Selu", 1, 6, rounded_defaults},
};

}  // namespace

std::span<const Adapter> pointwise_adapters() { return kAdapters; }

}  // namespace espalier

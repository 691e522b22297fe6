// ONNX Runtime's integer operators (com.microsoft, version 1) written as the float operator between
// DequantizeLinear and QuantizeLinear, the form our integer regions are made from.
#include <algorithm>
#include <array>
#include <utility>

#include "ir/room.h"
#include "onnx/adapt_extents.h"
#include "onnx/adapt_microsoft.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

/// Operand i as a float, with scale and zero point (which may be omitted) behind it.
ValueId dequantized(Call& c, size_t i, int64_t axis = 1) {
  return dequantized(c.b, c.inputs[i], c.inputs[i + 1], c.operand(i + 2), axis);
}

/// v with the scale and zero point in operands i and i + 1; without one it has the type of `like`.
ValueId quantized(Call& c, ValueId v, size_t i, ValueId like) {
  ValueId zero = c.operand(i + 1);
  if (zero == kNoValue) zero = c.b.constant(Tensor(c.b.type(like).dtype, {}));
  return c.b.one("QuantizeLinear", {v, c.inputs[i], zero}, {}, c.name);
}

// A, its scale and zero point, B with its own, scale and zero point of the result.
template <bool product>
Result binary(Call& c) {
  c.expect(2, 8);
  for (size_t i : {3, 4, 6})
    if (!c.has(i)) c.malformed("operand " + std::to_string(i) + " is missing");
  const ValueId a = dequantized(c, 0), b = dequantized(c, 3);
  return Values{quantized(c, product ? c.b.mul(a, b) : c.b.add(a, b), 6, c.inputs[0])};
}

// X, its scale and zero point, scale and zero point of the result.
void expect_unary(Call& c) {
  c.expect(2, 5);
  if (!c.has(3)) c.malformed("operand 3 is missing");
}

Result sigmoid(Call& c) {
  expect_unary(c);
  return Values{quantized(c, c.b.one("Sigmoid", {dequantized(c, 0)}), 3, c.inputs[0])};
}

Result leaky_relu(Call& c) {
  const float alpha = c.take_float("alpha").value_or(0.01f);
  expect_unary(c);
  const ValueId y = c.b.one("LeakyRelu", {dequantized(c, 0)}, {{"alpha", alpha}});
  return Values{quantized(c, y, 3, c.inputs[0])};
}

Result softmax(Call& c) {
  int64_t axis = c.take_int("axis").value_or(-1);
  const int64_t opset = c.take_int("opset").value_or(13);
  expect_unary(c);
  const int64_t rank = c.type(0).rank();
  axis = normal_axis(axis, rank, c.where);
  // Before opset 13 all axes from `axis` on were one.
  if (opset < 13 && axis != rank - 1)
    c.refuse("takes the softmax over several axes", "convert the model to opset 13 first");
  const ValueId y = c.b.one("Softmax", {dequantized(c, 0)}, {{"axis", axis}});
  return Values{quantized(c, y, 3, c.inputs[0])};
}

/// The pool `op` of X, whose channels may stand last.
Result pooled(Call& c, const char* op, bool last, const AttributeMap& attributes) {
  const int64_t rank = c.type(0).rank();
  if (rank < 3) c.malformed("pools " + to_string(c.type(0)));
  ValueId x = dequantized(c, 0);
  if (last) x = c.b.transpose(x, to_channels_first(rank));
  ValueId y = c.b.one(op, {x}, attributes);
  if (last) y = c.b.transpose(y, to_channels_last(rank));
  return Values{quantized(c, y, 3, c.inputs[0])};
}

Result global_average_pool(Call& c) {
  const bool last = c.take_int("channels_last").value_or(0) != 0;
  expect_unary(c);
  return pooled(c, "GlobalAveragePool", last, {});
}

Result average_pool(Call& c) {
  const bool last = c.take_int("channels_last").value_or(0) != 0;
  const AttributeMap attributes = std::exchange(c.attrs, {});
  expect_unary(c);
  return pooled(c, "AveragePool", last, attributes);
}

Result reduce_mean(Call& c) {
  const auto axes = c.take_ints("axes");
  const int64_t keep = c.take_int("keepdims").value_or(1);
  expect_unary(c);
  AttributeMap attributes = {{"keepdims", keep}};
  if (axes) attributes["axes"] = *axes;
  const ValueId y = c.b.one("ReduceMean", {dequantized(c, 0)}, attributes);
  return Values{quantized(c, y, 3, c.inputs[0])};
}

// Condition, X and Y with scale and zero point each, scale and zero point of the result.
Result where(Call& c) {
  c.expect(8, 9);
  const ValueId y = c.b.where(c.inputs[0], dequantized(c, 1), dequantized(c, 4));
  return Values{quantized(c, y, 7, c.inputs[1])};
}

// Scale and zero point of the result, then tensors with scale and zero point each.
Result concat(Call& c) {
  const auto axis = c.take_int("axis");
  if (!axis) c.malformed("attribute 'axis' is missing");
  if (c.inputs.size() < 5 || c.inputs.size() % 3 != 2)
    c.malformed("has " + std::to_string(c.inputs.size()) +
                " operands, two and three for each tensor are needed");
  c.expect(c.inputs.size(), c.inputs.size());
  Values parts;
  for (size_t i = 2; i < c.inputs.size(); i += 3) parts.push_back(dequantized(c, i));
  return Values{quantized(c, c.b.one("Concat", parts, {{"axis", *axis}}), 0, c.inputs[2])};
}

/// The product of two scales.
ValueId joint_scale(Call& c, ValueId a, ValueId b, float factor) {
  const ValueId both = c.b.mul(a, b);
  return factor == 1 ? both : c.b.mul(both, double(factor));
}

// A, B with scale and zero point each, bias (i32 at the scale of the product), scale and zero point
// of the result, which is float without them.
Result gemm(Call& c) {
  const int64_t trans_a = c.take_int("transA").value_or(0),
                trans_b = c.take_int("transB").value_or(0);
  const float alpha = c.take_float("alpha").value_or(1);
  c.expect(5, 9);
  for (size_t i : {0, 3}) require_rank(c, i, 2);
  const ValueId a = dequantized(c, 0), b = dequantized(c, 3, trans_b != 0 ? 0 : 1);
  const AttributeMap attributes = {{"transA", trans_a}, {"transB", trans_b}, {"alpha", alpha}};
  Values operands = {a, b};
  if (c.has(6)) {
    if (c.type(6).dtype != DType::i32) c.malformed("the bias is " + to_string(c.type(6)));
    const int64_t axis = std::max<int64_t>(0, c.type(6).rank() - 1);
    const ValueId scale = joint_scale(c, c.inputs[1], c.inputs[4], alpha);
    operands.push_back(dequantized(c.b, c.inputs[6], scale, kNoValue, axis));
  }
  const ValueId y = c.b.one("Gemm", operands, attributes);
  return Values{c.has(7) ? quantized(c, y, 7, c.inputs[0]) : y};
}

/// a B + bias with the columns of B at scales of their own.
ValueId product(Call& c, ValueId a, size_t matrix, ValueId scale, ValueId zero, size_t bias) {
  const ValueId b = dequantized(c.b, c.inputs[matrix], scale, zero, c.type(matrix).rank() - 1);
  const ValueId y = c.b.one("MatMul", {a, b}, {}, c.name);
  return c.has(bias) ? c.b.add(y, c.inputs[bias]) : y;
}

// A, B, their scales, their zero points, bias.
Result matmul_integer_to_float(Call& c) {
  c.expect(4, 7);
  const TensorType& scale = c.type(2);
  if (scale.rank() > 1 || (scale.rank() == 1 && !scale.dims[0].is(1)))
    c.refuse("has several scales for its first operand");
  const ValueId a = dequantized(c.b, c.inputs[0], c.inputs[2], c.operand(4));
  return Values{product(c, a, 1, c.inputs[3], c.operand(5), 6)};
}

// A (float, quantised as it comes), B, its scale, its zero point, bias.
Result dynamic_quantize_matmul(Call& c) {
  c.expect(3, 5);
  const Values q = c.b.op("DynamicQuantizeLinear", {c.inputs[0]});
  const ValueId a = dequantized(c.b, q[0], q[1], q[2]);
  return Values{product(c, a, 1, c.inputs[2], c.operand(3), 4)};
}

// The same as ONNX's of opset 21.
Result like_standard(Call& c) {
  c.domain = "";
  return std::nullopt;
}

Result qlinear_conv(Call& c) {
  if (c.take_int("channels_last").value_or(0) != 0)
    c.refuse("has its channels last", "quantise the model before it is optimised for a machine");
  c.domain = "";
  return std::nullopt;
}

constexpr std::array kAdapters = {
    microsoft("QLinearAdd", binary<false>),
    microsoft("QLinearMul", binary<true>),
    microsoft("QLinearSigmoid", sigmoid),
    microsoft("QLinearLeakyRelu", leaky_relu),
    microsoft("QLinearSoftmax", softmax),
    microsoft("QLinearGlobalAveragePool", global_average_pool),
    microsoft("QLinearAveragePool", average_pool),
    microsoft("QLinearReduceMean", reduce_mean),
    microsoft("QLinearWhere", where),
    microsoft("QLinearConcat", concat),
    microsoft("QLinearConv", qlinear_conv),
    microsoft("QGemm", gemm),
    microsoft("MatMulIntegerToFloat", matmul_integer_to_float),
    microsoft("DynamicQuantizeMatMul", dynamic_quantize_matmul),
    microsoft("QuantizeLinear", like_standard),
    microsoft("DequantizeLinear", like_standard),
};

}  // namespace

std::span<const Adapter> microsoft_integer_adapters() { return kAdapters; }

}  // namespace espalier

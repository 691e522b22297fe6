// Integer operators as ONNX Runtime's quantiser writes them.
#include "tests/peer/cases.h"

namespace espalier::testing {
namespace {

using P = PeerCase;
using Ints = std::vector<int64_t>;

P microsoft(const std::string& op, const std::string& what) {
  // Sums rounded at the middle between two integers may go either way.
  return P(op + "." + what, "com.microsoft." + op).within(1);
}

Tensor u8(Shape shape, int seed) { return steps(std::move(shape), seed, 0, 255, DType::u8); }
Tensor i8(Shape shape, int seed) { return steps(std::move(shape), seed, -128, 127, DType::i8); }
Tensor scale(float s) { return Tensor::scalar(s); }
Tensor byte(int z) { return Tensor::scalar(uint8_t(z)); }
Tensor signed_byte(int z) { return Tensor::scalar(int8_t(z)); }

P pair(const std::string& op, const std::string& what, Tensor a, Tensor b) {
  const bool is_signed = a.dtype() == DType::i8;
  const auto zero = [&](int z) { return is_signed ? signed_byte(z - 128) : byte(z); };
  return microsoft(op, what)
      .fed(std::move(a))
      .stored(scale(0.03f))
      .stored(zero(120))
      .fed(std::move(b))
      .stored(scale(0.02f))
      .stored(zero(131))
      .stored(scale(0.05f))
      .stored(zero(127))
      .gives({is_signed ? P::kI8 : P::kU8});
}

P single(const std::string& op, const std::string& what, Tensor x) {
  const bool is_signed = x.dtype() == DType::i8;
  return microsoft(op, what)
      .fed(std::move(x))
      .stored(scale(0.03f))
      .stored(is_signed ? signed_byte(-3) : byte(120))
      .stored(scale(0.02f))
      .stored(is_signed ? signed_byte(5) : byte(10))
      .gives({is_signed ? P::kI8 : P::kU8});
}

std::vector<P> pointwise() {
  return {
      pair("QLinearAdd", "bytes", u8({2, 8}, 1), u8({2, 8}, 2)),
      pair("QLinearAdd", "signed_broadcasts", i8({2, 8}, 1), i8({8}, 2)),
      pair("QLinearMul", "bytes", u8({2, 8}, 1), u8({2, 8}, 2)),
      pair("QLinearMul", "signed", i8({2, 8}, 1), i8({2, 8}, 2)),
      single("QLinearSigmoid", "bytes", u8({2, 9}, 1)),
      single("QLinearSigmoid", "signed", i8({2, 9}, 1)),
      single("QLinearLeakyRelu", "bytes", u8({2, 9}, 1)).with("alpha", 0.2f),
      single("QLinearLeakyRelu", "signed", i8({2, 9}, 1)),
      single("QLinearSoftmax", "last", u8({2, 5}, 1))
          .with("axis", int64_t{-1})
          .with("opset", int64_t{13}),
  };
}

std::vector<P> pools() {
  return {
      single("QLinearGlobalAveragePool", "bytes", u8({1, 3, 4, 4}, 1)),
      single("QLinearGlobalAveragePool", "channels_last", u8({1, 4, 4, 3}, 1))
          .with("channels_last", int64_t{1}),
      single("QLinearAveragePool", "strides", u8({1, 2, 5, 5}, 1))
          .with("kernel_shape", Ints{2, 2})
          .with("strides", Ints{2, 2}),
      single("QLinearAveragePool", "channels_last", u8({1, 5, 5, 2}, 1))
          .with("kernel_shape", Ints{3, 3})
          .with("pads", Ints{1, 1, 1, 1})
          .with("channels_last", int64_t{1}),
  };
}

std::vector<P> joins() {
  return {
      microsoft("QLinearConcat", "three")
          .stored(scale(0.05f))
          .stored(byte(100))
          .fed(u8({2, 3}, 1))
          .stored(scale(0.02f))
          .stored(byte(90))
          .fed(u8({2, 2}, 2))
          .stored(scale(0.05f))
          .stored(byte(100))
          .fed(u8({2, 4}, 3))
          .stored(scale(0.07f))
          .stored(byte(128))
          .with("axis", int64_t{1})
          .gives({P::kU8}),
      microsoft("QLinearWhere", "bytes")
          .fed(Tensor::from<bool>({4}, {true, false, false, true}))
          .fed(u8({4}, 1))
          .stored(scale(0.02f))
          .stored(byte(90))
          .fed(u8({4}, 2))
          .stored(scale(0.05f))
          .stored(byte(100))
          .stored(scale(0.06f))
          .stored(byte(120))
          .gives({P::kU8}),
  };
}

std::vector<P> products() {
  const auto gemm = [](const std::string& what) {
    return microsoft("QGemm", what)
        .fed(u8({2, 4}, 1))
        .stored(scale(0.02f))
        .stored(byte(120))
        .stored(i8({4, 3}, 2));
  };
  const Tensor bias = steps({3}, 5, -900, 900, DType::i32);
  return {
      gemm("requantised")
          .stored(scale(0.01f))
          .stored(signed_byte(0))
          .stored(bias)
          .stored(scale(0.05f))
          .stored(byte(128))
          .gives({P::kU8}),
      gemm("float_result").stored(scale(0.01f)).stored(signed_byte(3)).stored(bias).within(1e-4),
      gemm("columns")
          .stored(Tensor::from<float>({3}, {0.01f, 0.02f, 0.005f}))
          .stored(Tensor::from<int8_t>({3}, {0, 0, 0}))
          .stored(bias)
          .stored(scale(0.05f))
          .stored(byte(128))
          .gives({P::kU8}),
      microsoft("MatMulIntegerToFloat", "columns")
          .fed(u8({2, 4}, 1))
          .stored(i8({4, 3}, 2))
          .stored(scale(0.02f))
          .stored(Tensor::from<float>({3}, {0.01f, 0.02f, 0.005f}))
          .stored(byte(120))
          .omitted()
          .stored(wave({3}, 3))
          .within(1e-4),
      microsoft("DynamicQuantizeMatMul", "bias")
          .fed(wave({2, 4}, 1))
          .stored(i8({4, 3}, 2))
          .stored(Tensor::from<float>({3}, {0.01f, 0.02f, 0.005f}))
          .omitted()
          .stored(wave({3}, 3))
          .within(1e-4),
  };
}

std::vector<P> conversions() {
  return {
      microsoft("QuantizeLinear", "one_scale")
          .fed(wave({2, 5}, 1, 3))
          .stored(scale(0.02f))
          .stored(byte(128))
          .gives({P::kU8}),
      microsoft("QuantizeLinear", "channels")
          .fed(wave({2, 3}, 1, 3))
          .stored(Tensor::from<float>({3}, {0.01f, 0.02f, 0.05f}))
          .stored(Tensor::from<int8_t>({3}, {0, 1, 2}))
          .with("axis", int64_t{1})
          .gives({P::kI8}),
      microsoft("DequantizeLinear", "channels")
          .fed(u8({2, 3}, 1))
          .stored(Tensor::from<float>({2}, {0.01f, 0.02f}))
          .stored(Tensor::from<uint8_t>({2}, {100, 128}))
          .with("axis", int64_t{0})
          .within(1e-5),
  };
}

}  // namespace

std::vector<PeerCase> integer_cases() {
  std::vector<P> all;
  for (auto make : {pointwise, pools, joins, products, conversions})
    for (P& c : make()) all.push_back(std::move(c));
  return all;
}

}  // namespace espalier::testing

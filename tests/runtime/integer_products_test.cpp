// Quantised products of transformers as exporters write them, with the bias added after them,
// through compile(): one kernel runs each, and agrees with the interpreter on the graph as it was
// written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/jit/micro_kernel.h"
#include "kernels/primitive.h"
#include "tests/runtime/network.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::kernels_of;
using testing::Network;
using ::testing::Not;

/// One step of the result is allowed, where rounding falls the other way.
constexpr float kStep = 0.03f;
constexpr double kOneStep = 1.004 * double(kStep);

size_t runs(const Program& p) { return p.instructions().size(); }

/// Each region is one kernel where sums of integers do not saturate; else its parts run in float.
void expect_kernels(const Program& p, size_t count) {
  EXPECT_EQ(p.reference_count(), 0) << kernels_of(p);
  if (!kernels::integer_sums_saturate()) {
    EXPECT_EQ(runs(p), count) << kernels_of(p);
  }
}

struct Form {
  DType x = DType::u8;
  int zero = 0;
  Shape rows = {5, 24};
  int64_t columns = 10;
  bool per_channel = true, bias_first = false, integer_bias = false, gemm = false;
};

struct Quantised : Network {
  ValueId operand(const Form& f) {
    return quantized(input(f.rows, -0.2, 0.8), 1.0f / 127, f.zero, f.x);
  }
  ValueId product(const Form& f, ValueId x) {
    const Shape w = {b.type(x).dims.back().value(), f.columns};
    ValueId weight = quantized_weight(w, 1);
    if (!f.per_channel) {
      const Tensor stored = testing::random(w, 900 + g.value_count(), -100, 100).cast(DType::i8);
      weight = b.one("DequantizeLinear", {b.constant(stored), b.constant(Tensor::scalar(0.004f))});
    }
    return f.gemm ? b.one("Gemm", {x, weight}) : b.matmul(x, weight);
  }
  ValueId biased(const Form& f, ValueId y) {
    ValueId bias = weight({f.columns});
    if (f.integer_bias) {
      const Tensor stored = testing::random({f.columns}, 77, -3000, 3000).cast(DType::i32);
      bias = b.one("DequantizeLinear", {b.constant(stored), b.constant(Tensor::scalar(0.0002f))});
    }
    return f.bias_first ? b.add(bias, y) : b.add(y, bias);
  }
};

std::vector<Form> forms() {
  return {{},
          {.x = DType::i8, .bias_first = true},
          {.zero = 30, .rows = {2, 7, 33}, .columns = 17},
          {.x = DType::i8, .zero = -5, .rows = {1, 1, 3, 31}, .columns = 1},
          {.zero = 128, .rows = {13, 1}, .columns = 67, .per_channel = false},
          {.zero = 7, .rows = {3, 65}, .columns = 129, .bias_first = true, .integer_bias = true},
          {.zero = 3, .columns = 9, .gemm = true}};
}

TEST(IntegerProducts, WithBiasAndActivation) {
  for (const Form& f : forms())
    for (const char* activation : {"", "Relu", "Gelu", "Tanh"})
      for (const bool stored : {true, false}) {
        SCOPED_TRACE(std::string(activation) + (stored ? " stored" : "") + " columns " +
                     std::to_string(f.columns));
        Quantised n;
        ValueId y = n.biased(f, n.product(f, n.operand(f)));
        if (*activation) y = n.b.one(activation, {y});
        n.g.add_output(stored ? n.quantized(y, kStep, 100, DType::u8) : y);
        // The operand is quantised, then the product; its result is dequantised for the output.
        expect_kernels(*n.check(1e-4, stored ? kOneStep : 1e-4), stored ? 3 : 2);
      }
}

TEST(IntegerProducts, WithBiasAndFloatResidual) {
  for (const Form& f : forms()) {
    Quantised n;
    const ValueId y = n.biased(f, n.product(f, n.operand(f)));
    Shape shape = f.rows;
    shape.back() = f.columns;
    const ValueId r = n.input(shape, -3, 3);
    n.g.add_output(n.b.one("Relu", {f.bias_first ? n.b.add(r, y) : n.b.add(y, r)}));
    expect_kernels(*n.check(1e-4, 1e-4), 2);
  }
}

// The first of two takes the sum, the second still runs in integers.
TEST(IntegerProducts, TwoThatMeetInASum) {
  const Form f{.rows = {4, 24}, .columns = 12};
  Quantised n;
  const ValueId a = n.biased(f, n.product(f, n.operand(f)));
  const ValueId b = n.biased(f, n.product(f, n.operand(f)));
  n.g.add_output(n.b.add(a, b));
  expect_kernels(*n.check(1e-4, 1e-4), 4);
}

TEST(IntegerProducts, AFloatResidualThatLivesOnIsKept) {
  const Form f{.rows = {4, 24}, .columns = 24};
  Quantised n;
  const ValueId r = n.b.one("Neg", {n.input({4, 24}, -3, 3)});
  n.g.set_outputs({n.b.add(r, n.biased(f, n.product(f, n.operand(f)))), n.b.one("Abs", {r})});
  n.check(1e-4, 1e-4);
}

// What is quantised after a sum with float stays apart: the sum of the product ends in float.
TEST(IntegerProducts, AFloatResidualBeforeAQuantisation) {
  const Form f{.rows = {4, 24}, .columns = 12};
  Quantised n;
  const ValueId y = n.biased(f, n.product(f, n.operand(f)));
  n.g.add_output(n.quantized(n.b.add(y, n.input({4, 12}, -2, 2)), kStep, 100, DType::u8));
  const auto p = n.check(0, kOneStep);
  if (!kernels::integer_sums_saturate()) {
    EXPECT_THAT(kernels_of(*p), HasSubstr("; quantize; "));
  }
}

TEST(IntegerProducts, WithBiasAndIntegerResidual) {
  const Form f{.zero = 9, .rows = {3, 5, 24}, .columns = 20};
  Quantised n;
  const ValueId y = n.biased(f, n.product(f, n.operand(f)));
  const ValueId r = n.quantized(n.input({3, 5, 20}, -1, 1), 0.01f, 90, DType::u8);
  n.g.add_output(n.quantized(n.b.one("Relu", {n.b.add(y, r)}), kStep, 10, DType::u8));
  expect_kernels(*n.check(0, kOneStep), 4);
}

TEST(IntegerProducts, LayersInARowStayInIntegers) {
  // A step of the first result moves the second by less than one of its own.
  const Form first{.zero = 30, .rows = {9, 24}, .columns = 40};
  const Form second{.columns = 11};
  Quantised n;
  ValueId y = n.b.one("Gelu", {n.biased(first, n.product(first, n.operand(first)))});
  y = n.biased(second, n.product(second, n.quantized(y, 0.01f, 20, DType::u8)));
  n.g.add_output(n.quantized(y, 0.1f, 128, DType::u8));
  expect_kernels(*n.check(0, 2 * 0.1004), 4);
}

// A result large enough for GELU in a pass of its own.
TEST(IntegerProducts, GeluOfManyNumbers) {
  for (const bool stored : {true, false})
    for (const int64_t columns : {150, 161}) {
      Quantised n;
      const Form f{.zero = 30, .rows = {61, 24}, .columns = columns};
      const ValueId y = n.b.one("Gelu", {n.biased(f, n.product(f, n.operand(f)))});
      n.g.add_output(stored ? n.quantized(y, kStep, 100, DType::u8) : y);
      const auto p = n.check(1e-4, stored ? kOneStep : 1e-4);
      expect_kernels(*p, stored ? 3 : 2);
      if (!kernels::integer_sums_saturate()) {
        EXPECT_THAT(kernels_of(*p), HasSubstr(", pass"));
      }
    }
}

TEST(IntegerProducts, GeluOfManyNumbersInFloat) {
  Network n;
  const ValueId x = n.input({61, 24}), r = n.input({61, 150});
  const ValueId y = n.b.add(n.b.matmul(x, n.weight({24, 150})), n.weight({150}));
  n.g.add_output(n.b.one("Gelu", {n.b.add(y, r)}));
  const auto p = n.check(1e-5, 1e-5);
  EXPECT_EQ(runs(*p), 1u) << kernels_of(*p);
  const bool generated = kernels::vector_registers().per_vector() > 1;  // with AVX2, unmeasured
  EXPECT_THAT(kernels_of(*p), HasSubstr(generated ? "jit.matmul" : ", pass"));
}

// What is added is no bias: a number for every column that comes at run time, one number for all,
// one for each row, and a second bias.
TEST(IntegerProducts, OtherSumsStayApartAndRight) {
  const Form f{.rows = {4, 24}, .columns = 4};
  for (int which = 0; which < 4; ++which) {
    SCOPED_TRACE(which);
    Quantised n;
    ValueId y = n.product(f, n.operand(f));
    if (which == 0) y = n.b.add(y, n.input({4}));
    if (which == 1) y = n.b.add(y, n.weight({1}));
    if (which == 2) y = n.b.add(y, n.weight({4, 1}));
    if (which == 3) y = n.biased(f, n.biased(f, y));
    n.g.add_output(n.quantized(y, kStep, 100, DType::u8));
    n.check(0, kOneStep);
  }
}

// ---- what stores integers without being a product ---------------------------------------------

TEST(QuantisedNorm, WritesIntegersAndFloatWhereAsked) {
  for (const int64_t columns : {1, 7, 33, 192})
    for (const DType type : {DType::u8, DType::i8})
      for (const bool both : {true, false}) {
        SCOPED_TRACE(columns);
        Network n;
        const ValueId y =
            n.b.one("LayerNormalization",
                    {n.input({3, 5, columns}, -4, 4), n.weight({columns}), n.weight({columns})},
                    {{"axis", int64_t{-1}}});
        n.g.add_output(n.quantized(y, kStep, type == DType::u8 ? 128 : -3, type));
        if (both) n.g.add_output(n.b.one("Abs", {y}));
        const auto p = n.check(1e-5, kOneStep);
        EXPECT_THAT(kernels_of(*p), HasSubstr("layer_norm quantised"));
        EXPECT_EQ(runs(*p), both ? 3u : 2u) << kernels_of(*p);
      }
}

TEST(QuantisedNorm, OtherQuantisationsStayApart) {
  Network n;
  const ValueId y = n.b.one("LayerNormalization", {n.input({3, 40}, -4, 4), n.weight({40})},
                            {{"axis", int64_t{-1}}});
  n.g.add_output(n.quantized(y, 0.001f, 0, DType::i16));
  const auto p = n.check(1e-5, 0.00101);
  EXPECT_THAT(kernels_of(*p), Not(HasSubstr("quantised")));
}

}  // namespace
}  // namespace espalier

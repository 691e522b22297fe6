// Contractions of 8-bit integers by generated code, to the bit: sums in 64-bit integers, then the
// epilogue in f32, step by step; and oneDNN's kernels, where they are exact.
#include "kernels/jit/generated_integers.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/threads.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/simd.h"
#include "tests/kernels/integer_case.h"

namespace espalier::kernels {
namespace {

using namespace testing;
using Case = IntegerCase;

void check(Case c) {
  c.make();
  const auto contraction = integer_contraction(c.spec);
  ASSERT_TRUE(std::holds_alternative<IntegerContraction>(contraction))
      << c.text() << ": " << std::get<std::string>(contraction);
  const Tensor want = c.expected();
  for (const int threads : {1, 2, 3}) {
    const ThreadScope scope(threads);
    const auto& made = std::get<IntegerContraction>(contraction);
    expect_same(run(made, c.values, c.residuals, want), want,
                c.text() + " on " + std::to_string(threads));
    if (c.residuals.size() > 0 && c.residuals.dtype() == want.dtype())
      expect_same(run(made, c.values, c.residuals, want, true), want, c.text() + " in place");
  }
}

class GeneratedIntegerContractions : public ::testing::Test {
 protected:
  void SetUp() override {
    limit_instruction_set();
    if (!no_generated_kernels().empty()) GTEST_SKIP() << no_generated_kernels();
  }
};

TEST_F(GeneratedIntegerContractions, ConvolutionsToTheBit) {
  const DType u8 = DType::u8, i8 = DType::i8, f32 = DType::f32;
  const EpilogueStep relu = scalar(ScalarCode::kRelu), clip = scalar(ScalarCode::kClip, -3, 90);
  const std::vector<Case> cases = {
      {.images = 2,
       .in = 3,
       .out = 16,
       .x = {9, 9},
       .window = {3, 3},
       .begin = {1, 1},
       .end = {1, 1},
       .x_type = i8,
       .zero = -9},
      {.in = 16,
       .out = 17,
       .x = {20, 13},
       .window = {3, 3},
       .strides = {2, 2},
       .begin = {1, 1},
       .end = {0, 1},
       .y_type = u8,
       .zero = 7,
       .bias = true,
       .scales = 17,
       .steps = {relu}},
      {.in = 13,
       .out = 11,
       .x = {9, 9},
       .window = {3, 3},
       .begin = {1, 1},
       .end = {1, 1},
       .y_type = i8,
       .zero = 255,
       .scales = 11,
       .steps = {residual(i8, 0.3f), clip}},
      {.images = 2,
       .in = 5,
       .out = 33,
       .x = {8, 8},
       .window = {3, 3},
       .dilations = {2, 2},
       .begin = {2, 2},
       .end = {2, 2},
       .x_type = i8,
       .y_type = u8,
       .zero = 127,
       .bias = true,
       .scales = 1,
       .steps = {residual(u8, 1), scalar(ScalarCode::kAffine, 0.5f, 3)}},
      {.in = 32,
       .out = 48,
       .x = {6, 6},
       .y_type = f32,
       .scales = 48,
       .steps = {residual(f32, 1), relu}},
      {.images = 3,
       .in = 8,
       .out = 20,
       .x = {11, 7},
       .strides = {2, 2},
       .x_type = i8,
       .y_type = u8,
       .zero = 3,
       .bias = true,
       .scales = 1,
       .steps = {scalar(ScalarCode::kHardSwish), scalar(ScalarCode::kAffine, 1, 12)}},
      {.in = 7,
       .out = 40,
       .x = {12, 12},
       .window = {5, 5},
       .begin = {2, 2},
       .end = {2, 2},
       .y_type = i8,
       .zero = 1,
       .scales = 40,
       .steps = {scalar(ScalarCode::kLeakyRelu, 0.1f)}},
      {.in = 20,
       .out = 16,
       .x = {6, 9},
       .window = {2, 4},
       .strides = {3, 1},
       .x_type = i8,
       .steps = {scalar(ScalarCode::kNeg), scalar(ScalarCode::kAbs)}},
      {.in = 1,
       .out = 1,
       .x = {4, 4},
       .window = {3, 3},
       .begin = {1, 1},
       .end = {1, 1},
       .y_type = u8,
       .scales = 1},
      {.in = 8,
       .out = 5,
       .x = {4, 4},
       .strides = {8, 8},
       .begin = {2, 2},
       .end = {2, 2},
       .y_type = u8,
       .zero = 100,
       .bias = true},  // only padding is met
      {.in = 6,
       .out = 30,
       .x = {23},
       .window = {3},
       .strides = {2},
       .dilations = {1},
       .begin = {1},
       .end = {1},
       .zero = 77},
      {.in = 4,
       .out = 9,
       .x = {40, 1},
       .window = {7, 1},
       .begin = {3, 0},
       .end = {3, 0},
       .x_type = i8,
       .zero = -128},
      {.images = 2,
       .in = 64,
       .out = 64,
       .x = {30, 40},
       .window = {3, 3},
       .begin = {1, 1},
       .end = {1, 1},
       .y_type = u8,
       .zero = 128,
       .bias = true,
       .scales = 64},
      {.images = 2,
       .in = 96,
       .out = 31,
       .x = {25, 31},
       .y_type = i8,
       .bias = true,
       .scales = 31,
       .steps = {residual(i8, 2), relu}},
      {.in = 3,
       .out = 64,
       .x = {60, 40},
       .window = {7, 7},
       .strides = {2, 2},
       .begin = {3, 3},
       .end = {3, 3},
       .y_type = u8,
       .zero = 114,
       .scales = 64},
      {.in = 2,
       .out = 70,
       .x = {2, 5},
       .window = {1, 3},
       .strides = {2, 1},
       .begin = {1, 1},
       .end = {1, 1}},
  };
  for (const Case& c : cases) check(c);
}

// Odd and even k, columns up to several panels and every narrow last one, rows that no tile
// divides.
TEST_F(GeneratedIntegerContractions, ProductsOfManyShapes) {
  const Rng rng(11, 0);
  uint64_t at = 0;
  const auto draw = [&](int64_t below) { return int64_t(rng.below(at++, uint64_t(below))); };
  for (int i = 0; i < 120; ++i) {
    Case c;
    c.in = 1 + (i % 3 == 0 ? draw(700) : draw(40));
    c.out = 1 + draw(100);
    c.x = {1 + draw(70), 1};
    c.x_type = draw(2) ? DType::u8 : DType::i8;
    c.y_type = i % 3 == 0 ? DType::f32 : i % 3 == 1 ? DType::u8 : DType::i8;
    c.zero = int32_t(draw(256)) - (c.x_type == DType::i8 ? 128 : 0);
    c.bias = draw(2);
    c.scales = draw(2) ? c.out : 1;
    if (draw(2)) c.steps.push_back(residual(draw(2) ? DType::i8 : DType::u8, 0.7f));
    // What generated code leaves: in f32 it is not the reference's to the bit.
    if (c.y_type != DType::f32 && draw(4) == 0) c.steps.push_back(scalar(ScalarCode::kHardSwish));
    if (draw(2)) c.steps.push_back(scalar(ScalarCode::kClip, -20, 70));
    check(c);
  }
}

// The largest products, of one sign, over the longest k whose sum 32 bits hold.
TEST_F(GeneratedIntegerContractions, NothingSaturates) {
  const int64_t longest = ((int64_t{1} << 31) - 1) / (255 * 128);
  for (const int64_t k : {int64_t{1}, int64_t{2}, int64_t{257}, int64_t{4095}, longest}) {
    check({.in = k, .out = 18, .x = {7, 1}, .fixed_x = 255, .fixed_w = -128});
    check({.in = k, .out = 3, .x = {2, 1}, .fixed_x = 255, .fixed_w = 127});
    check({.in = k, .out = 3, .x = {2, 1}, .zero = 255, .fixed_x = 0, .fixed_w = -128});
    check({.in = k,
           .out = 3,
           .x = {2, 1},
           .x_type = DType::i8,
           .zero = 127,
           .fixed_x = -128,
           .fixed_w = -128});
    check({.in = k, .out = 20, .x = {13, 1}, .y_type = DType::u8, .fixed_x = 255, .fixed_w = 127});
    check({.in = k, .out = 20, .x = {13, 1}, .y_type = DType::i8, .fixed_x = 255, .fixed_w = -128});
  }
  check({.in = 512,
         .out = 16,
         .x = {4, 4},
         .window = {3, 3},
         .begin = {1, 1},
         .end = {1, 1},
         .fixed_x = 255,
         .fixed_w = -128});
  // Beyond 32 bits after the scale.
  check({.in = 64,
         .out = 16,
         .x = {4, 1},
         .y_type = DType::u8,
         .steps = {scalar(ScalarCode::kAffine, 1e9f, 0)},
         .fixed_x = 255,
         .fixed_w = 127});
  check({.in = 64,
         .out = 16,
         .x = {4, 1},
         .y_type = DType::i8,
         .steps = {scalar(ScalarCode::kAffine, 1e9f, 0)},
         .fixed_x = 255,
         .fixed_w = -127});
}

MatmulSpec product(int64_t m, int64_t n, int64_t k, const Tensor& b, bool transposed) {
  MatmulSpec s;
  s.a_type = DType::u8;
  s.b_type = DType::i8;
  s.y_type = DType::f32;
  s.a = {m, k};
  s.b = {k, n};
  s.y = {m, n};
  s.a_strides = {k, 1};
  s.b_strides = transposed ? std::vector<int64_t>{1, k} : std::vector<int64_t>{n, 1};
  s.b_constant = b.raw();
  return s;
}

TEST_F(GeneratedIntegerContractions, WeightsEitherWayRound) {
  const int64_t m = 19, n = 37, k = 51;
  const Tensor a = random_tensor(DType::u8, {m, k}, 1), b = random_tensor(DType::i8, {k, n}, 2);
  for (const bool transposed : {false, true}) {
    const auto c = integer_contraction(product(m, n, k, b, transposed));
    Tensor want(DType::f32, {m, n});
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        int64_t sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += a.int_at(i * k + l) * b.int_at(transposed ? j * k + l : l * n + j);
        want.mutable_data<float>()[i * n + j] = float(sum);
      }
    expect_same(run(std::get<IntegerContraction>(c), a, {}, want), want, "product");
  }
}

TEST_F(GeneratedIntegerContractions, SayWhyNot) {
  const Tensor b = random_tensor(DType::i8, {4, 4}, 2);
  const auto why = [](const auto& spec) {
    const auto c = integer_contraction(spec);
    return std::holds_alternative<std::string>(c) ? std::get<std::string>(c) : "";
  };
  const MatmulSpec good = product(4, 4, 4, b, false);
  EXPECT_EQ(why(good), "");
  MatmulSpec s = good;
  s.b_constant = nullptr;
  EXPECT_EQ(why(s), "the weight is not known at compile time");
  s = good;
  s.y_type = DType::bf16;
  EXPECT_EQ(why(s), "the result is neither 8 bit nor f32");
  s = good;
  s.a_type = DType::f32;
  EXPECT_EQ(why(s), "the operands are not 8 bit");
  s = good;
  s.a_strides = {1, 4};
  EXPECT_EQ(why(s), "the first operand is not in rows");
  s = good;
  s.epilogue.steps = {scalar(ScalarCode::kGelu), residual(DType::f32, 1)};
  EXPECT_EQ(why(s), "a residual is added late");
}

/// What oneDNN makes of it, or nothing.
std::optional<Tensor> by_onednn(const Prepared& prepared, const Tensor& x, const Tensor& like) {
  if (!prepared.sequence) return std::nullopt;
  Tensor y(like.dtype(), like.shape());
  std::vector<std::byte> scratch(prepared.sequence->scratch_bytes() + 64);
  const void* operands[] = {x.raw(), nullptr, nullptr};
  void* results[] = {y.mutable_raw()};
  const auto call = prepared.sequence->call();
  call->place(operands, results,
              reinterpret_cast<void*>((uintptr_t(scratch.data()) + 63) / 64 * 64));
  call->run();
  return y;
}

TEST_F(GeneratedIntegerContractions, GiveWhatDotProductsOfFourGive) {
  if (integer_sums_saturate()) GTEST_SKIP() << "no VNNI here";
  int compared = 0;
  for (const DType y : {DType::f32, DType::u8})
    for (Case c :
         {Case{.in = 300, .out = 70, .x = {33, 1}, .bias = true, .scales = 70}, Case{.in = 32,
                                                                                .out = 40,
                                                                                .x = {14, 14},
                                                                                .window = {3, 3},
                                                                                .begin = {1, 1},
                                                                                .end = {1, 1},
                                                                                .zero = 19,
                                                                                .bias = true,
                                                                                .scales = 40}}) {
      c.y_type = y;
      c.make();
      const Tensor want = c.expected();
      const auto theirs = by_onednn(prepare_convolution(c.spec), c.values, want);
      if (!theirs) continue;
      ++compared;
      expect_same(
          run(std::get<IntegerContraction>(integer_contraction(c.spec)), c.values, {}, want),
          *theirs, c.text());
    }
  EXPECT_GT(compared, 0);
}

}  // namespace
}  // namespace espalier::kernels

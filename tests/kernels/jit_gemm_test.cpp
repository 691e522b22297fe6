// Generated matrix products against the sum they promise: one chain of fused multiply-adds in the
// order of k for each element, to the bit, however the product is cut.
#include "kernels/jit/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/simd.h"

namespace espalier::kernels {
namespace {

constexpr float kUnwritten = -1234.5f;

std::vector<float> random_numbers(size_t n, const std::string& stream) {
  const Rng rng(1, stream_of(stream));
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = rng.uniform(i) * 2 - 1;
  return v;
}

/// A product with everything it needs.
struct Case {
  int64_t batch = 1, m = 1, n = 1, k = 1;
  int64_t a_gap = 0;          ///< numbers between rows of a that belong to nobody
  bool constant_b = true;     ///< packed
  bool transposed_b = false;  ///< as it is stored; constants only
  bool bias = false;
  Epilogue epilogue;

  std::vector<float> a, b, bias_values, residual;
  MatmulSpec spec;

  void make() {
    const int64_t stride = k + a_gap;
    a = random_numbers(size_t(batch * m * stride), "a");
    b = random_numbers(size_t((constant_b ? 1 : batch) * k * n), "b");
    bias_values = random_numbers(size_t(n), "bias");
    residual = random_numbers(size_t(batch * m * n), "residual");
    spec = {};
    if (batch == 1 || constant_b) {
      spec.a = {batch * m, k};
      spec.b = {k, n};
      spec.y = {batch * m, n};
      spec.a_strides = {stride, 1};
      spec.b_strides = transposed_b ? std::vector<int64_t>{1, k} : std::vector<int64_t>{n, 1};
    } else {
      spec.a = {batch, m, k};
      spec.b = {batch, k, n};
      spec.y = {batch, m, n};
      spec.a_strides = {m * stride, stride, 1};
      spec.b_strides = {k * n, n, 1};
    }
    if (constant_b) spec.b_constant = b.data();
    if (bias) spec.bias = Weight{DType::f32, {1, n}, bias_values.data(), 2};
    spec.epilogue = epilogue;
  }

  std::vector<float> expected() const {
    std::vector<float> y(size_t(batch * m * n));
    for (int64_t r = 0; r < batch * m; ++r)
      for (int64_t j = 0; j < n; ++j) {
        const float* matrix = b.data() + (constant_b ? 0 : r / m * k * n);
        float sum = 0;
        for (int64_t i = 0; i < k; ++i)
          sum = std::fma(a[size_t(r * (k + a_gap) + i)],
                         matrix[transposed_b ? j * k + i : i * n + j], sum);
        if (bias) sum += bias_values[size_t(j)];
        if (!epilogue.scales.empty()) sum *= epilogue.scales[0];
        for (const EpilogueStep& s : epilogue.steps)
          if (s.kind == EpilogueStep::Kind::kResidual)
            sum = s.scale == 1 ? sum + residual[size_t(r * n + j)]
                               : std::fma(s.scale, residual[size_t(r * n + j)], sum);
          else
            sum = float(evaluate(s.op, sum));
        y[size_t(r * n + j)] = sum;
      }
    return y;
  }

  std::vector<float> run(const GemmTile& tile, bool in_place = false) const {
    const auto gemm = generate_gemm(spec, tile);
    // One number more, which nobody may touch.
    std::vector<float> y(size_t(batch * m * n) + 1, kUnwritten);
    if (in_place) {
      EXPECT_TRUE(gemm->residual_in_place());
      std::copy(residual.begin(), residual.end(), y.begin());
    }
    const void* operands[] = {a.data(), b.data(), nullptr, in_place ? y.data() : residual.data()};
    std::vector<std::byte> scratch(gemm->scratch_bytes() + 64);
    void* aligned = reinterpret_cast<void*>((uintptr_t(scratch.data()) + 63) / 64 * 64);
    gemm->run(operands, y.data(), aligned);
    EXPECT_EQ(y.back(), kUnwritten) << "written past the end";
    y.pop_back();
    return y;
  }
};

EpilogueStep scalar(ScalarCode code, float p0 = 0, float p1 = 0) {
  return {EpilogueStep::Kind::kScalar, {code, p0, p1}};
}
EpilogueStep residual(float scale = 1) {
  return {EpilogueStep::Kind::kResidual, {}, scale, DType::f32, 3};
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want,
                      const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << what << " at " << i << ": " << got[i] << " is not " << want[i];
}

class GeneratedGemms : public ::testing::Test {
 protected:
  void SetUp() override {
    limit_instruction_set();
    if (!no_generated_kernels().empty()) GTEST_SKIP() << no_generated_kernels();
  }
};

/// Anything legal.
GemmTile random_tile(const Rng& rng) {
  GemmTile t;
  uint64_t at = 0;
  const auto draw = [&](int64_t below) { return int64_t(rng.below(at++, uint64_t(below))); };
  do {
    t.rows = int(1 + draw(30));
    t.vectors = int(1 + draw(8));
  } while (!tile_fits(t.rows, t.vectors));
  t.unroll = 1 << draw(4);
  t.prefetch = draw(2) ? int(draw(17)) : 0;
  t.k_block = draw(2) ? 1 + draw(40) : 0;
  t.row_block = draw(2) ? 1 + draw(3) : 0;
  t.column_block = draw(2) ? 1 + draw(3) : 0;
  t.rows_outer = draw(2);
  t.pack_a = draw(2);
  t.split_rows = draw(2);
  return t;
}

TEST_F(GeneratedGemms, GiveTheChainToTheBitWhateverTheShapeAndTile) {
  for (uint64_t i = 0; i < 150; ++i) {
    const Rng rng = Rng(7, stream_of("shapes")).fork(i);
    Case c;
    c.batch = 1 + int64_t(rng.below(0, 3));
    c.m = 1 + int64_t(rng.below(1, 50));
    c.n = 1 + int64_t(rng.below(2, 90));
    c.k = 1 + int64_t(rng.below(3, 60));
    c.a_gap = rng.below(4, 2) ? int64_t(rng.below(5, 20)) : 0;
    c.constant_b = rng.below(6, 2);
    c.transposed_b = c.constant_b && rng.below(7, 2);
    c.bias = rng.below(8, 2);
    if (rng.below(9, 2)) c.epilogue.steps.push_back(scalar(ScalarCode::kRelu));
    if (rng.below(10, 2)) c.epilogue.steps.push_back(residual());
    c.make();
    const GemmTile tile = random_tile(rng.fork(1));
    expect_same_bits(c.run(tile), c.expected(), "case " + std::to_string(i) + ": " + tile.text());
  }
}

TEST_F(GeneratedGemms, EveryRegisterTileGivesTheSameBits) {
  Case c;
  c.m = 31;
  c.n = 8 * 16 * 2 + 5;
  c.k = 19;
  c.bias = true;
  c.make();
  const auto want = c.expected();
  for (int vectors = 1; vectors <= 15; ++vectors)
    for (int rows = 1; tile_fits(rows, vectors); ++rows) {
      GemmTile t;
      t.rows = rows;
      t.vectors = vectors;
      expect_same_bits(c.run(t), want, t.text());
    }
}

TEST_F(GeneratedGemms, TheNumberOfThreadsDoesNotShow) {
  Case c;
  c.m = 67;
  c.n = 150;
  c.k = 33;
  c.make();
  const auto want = c.expected();
  Case several = c;
  several.batch = 3;
  several.constant_b = false;
  several.make();
  const auto several_want = several.expected();
  for (int threads : {1, 2, 3, 7}) {
    const ThreadScope scope(threads);
    for (bool rows : {false, true}) {
      GemmTile t{.rows = 2, .vectors = 2, .pack_a = rows, .split_rows = rows};
      expect_same_bits(c.run(t), want, t.text());
      expect_same_bits(several.run(t), several_want, t.text());
    }
  }
}

TEST_F(GeneratedGemms, EpiloguesFollowTheSum) {
  const std::vector<Epilogue> exact = {
      {{0.5f}, {}},
      {{}, {scalar(ScalarCode::kRelu)}},
      {{}, {scalar(ScalarCode::kLeakyRelu, 0.25f)}},
      {{}, {scalar(ScalarCode::kClip, -0.5f, 0.75f)}},
      {{}, {scalar(ScalarCode::kNeg), scalar(ScalarCode::kAbs)}},
      {{}, {residual(), scalar(ScalarCode::kRelu)}},
      {{}, {residual(0.5f)}},
      {{2.0f}, {scalar(ScalarCode::kIdentity), residual(), residual()}},
  };
  for (size_t e = 0; e < exact.size(); ++e)
    for (int64_t k_block : {0, 5}) {
      Case c;
      c.m = 9;
      c.n = 37;
      c.k = 11;
      c.bias = true;
      c.epilogue = exact[e];
      c.make();
      expect_same_bits(c.run({.rows = 2, .vectors = 2, .k_block = k_block}), c.expected(),
                       "epilogue " + std::to_string(e));
    }
}

TEST_F(GeneratedGemms, OtherFunctionsAreAppliedToTheFinishedBlock) {
  for (const Epilogue& e : std::vector<Epilogue>{
           {{}, {scalar(ScalarCode::kGelu)}},
           {{}, {scalar(ScalarCode::kTanh), residual(0.5f)}},
           {{}, {residual(), scalar(ScalarCode::kSigmoid), scalar(ScalarCode::kRelu)}}}) {
    Case c;
    c.m = 21;
    c.n = 70;
    c.k = 13;
    c.epilogue = e;
    c.make();
    const auto want = c.expected();
    for (bool outer : {false, true}) {
      const GemmTile t{
          .rows = 2, .vectors = 2, .row_block = 2, .column_block = 1, .rows_outer = outer};
      const auto got = c.run(t);
      for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-6) << t.text();
    }
  }
}

TEST_F(GeneratedGemms, AResidualMayLieWhereTheResultDoes) {
  Case c;
  c.m = 23;
  c.n = 41;
  c.k = 17;
  c.epilogue.steps = {residual(), scalar(ScalarCode::kRelu)};
  c.make();
  expect_same_bits(c.run({.rows = 2, .vectors = 2}, true), c.expected(), "in place");
  EXPECT_FALSE(generate_gemm(c.spec, {.k_block = 8})->residual_in_place());
  c.epilogue.steps = {scalar(ScalarCode::kGelu), residual()};
  c.make();
  EXPECT_FALSE(generate_gemm(c.spec, {})->residual_in_place());
}

TEST_F(GeneratedGemms, WhatIsNoNumberStaysNone) {
  for (const EpilogueStep& step : {scalar(ScalarCode::kRelu), scalar(ScalarCode::kClip, 0, 1),
                                   scalar(ScalarCode::kLeakyRelu, 0.1f)}) {
    Case c;
    c.m = 2;
    c.n = 3;
    c.k = 2;
    c.epilogue.steps = {step};
    c.make();
    c.a[0] = std::numeric_limits<float>::quiet_NaN();
    const auto y = c.run({});
    for (int j = 0; j < 3; ++j) EXPECT_TRUE(std::isnan(y[size_t(j)]));
    for (int j = 3; j < 6; ++j) EXPECT_FALSE(std::isnan(y[size_t(j)]));
  }
}

TEST_F(GeneratedGemms, EqualWeightsAndCodeAreHeldOnce) {
  Case c;
  c.m = 8;
  c.n = 64;
  c.k = 16;
  c.make();
  MicroKernelSpec s{.rows = 2, .vectors = 2, .a_stride = 16, .c_stride = 64};
  const auto first = micro_kernel(s);
  EXPECT_EQ(first, micro_kernel(s));
  s.unroll = 2;
  EXPECT_NE(first, micro_kernel(s));
  EXPECT_EQ(generate_gemm(c.spec, {})->packed_bytes(), 64u * 16 * 4);
}

TEST(GemmProblems, SayWhyTheyAreNone) {
  const auto why = [](const Case& c) {
    const auto p = gemm_problem(c.spec);
    const auto* no = std::get_if<std::string>(&p);
    return no ? *no : "";
  };
  Case c;
  c.m = 3;
  c.n = 5;
  c.k = 7;
  c.make();
  EXPECT_EQ(why(c), "");
  EXPECT_EQ(std::get<GemmProblem>(gemm_problem(c.spec)).text(), "3x5x7");
  Case other = c;
  other.spec.a_type = DType::bf16;
  EXPECT_EQ(why(other), "generated code is for f32");
  other = c;
  other.spec.a_strides = {1, 3};
  EXPECT_EQ(why(other), "the first operand is transposed");
  other = c;
  other.spec.b_constant = nullptr;
  other.spec.b_strides = {1, 7};
  EXPECT_EQ(why(other), "the second operand is transposed");
  other = c;
  other.spec.bias = Weight{DType::f32, {1, 5}, nullptr, 2};
  EXPECT_EQ(why(other), "the bias is not one known number per column");
  other = c;
  other.spec.epilogue.scales = {1, 2, 3, 4, 5};
  EXPECT_EQ(why(other), "the sum has several scales");
  other = c;
  other.spec.y = {2, 3, 5};
  other.spec.a = {1, 3, 7};
  other.spec.a_strides = {21, 7, 1};
  other.spec.b = {2, 7, 5};
  other.spec.b_strides = {35, 5, 1};
  other.spec.b_constant = nullptr;
  EXPECT_EQ(std::get<GemmProblem>(gemm_problem(other.spec)).text(), "2 of 3x5x7 b5 a-next0");
}

TEST(GemmTiles, IllegalOnesAreKnown) {
  EXPECT_TRUE(legal({}));
  const bool many = vector_registers().count == kMostRegisters;
  EXPECT_EQ(legal({.rows = 30, .vectors = 1}), many);
  EXPECT_TRUE(legal({.rows = 6, .vectors = 1}));
  EXPECT_TRUE(legal({.rows = busy_tile().rows, .vectors = busy_tile().vectors}));
  EXPECT_EQ(legal({.rows = 7, .vectors = 1}), many);
  EXPECT_FALSE(legal({.rows = 32, .vectors = 1}));
  EXPECT_FALSE(legal({.rows = 6, .vectors = 5}));
  EXPECT_FALSE(legal({.rows = 0, .vectors = 1}));
  EXPECT_FALSE(legal({.unroll = 0}));
  EXPECT_FALSE(legal({.k_block = -1}));
}

}  // namespace
}  // namespace espalier::kernels

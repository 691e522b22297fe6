// Fused regions through compile(): the kernel that is meant to run does, and agrees with the
// interpreter on the graph as it was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/int8_conv.h"
#include "kernels/primitive.h"
#include "passes/passes.h"
#include "tests/runtime/network.h"

namespace espalier {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using testing::kernels_of;
using testing::Network;

TEST(Regions, ConvolutionWithReluAndResidual) {
  Network n;
  const ValueId x = n.input({2, 8, 9, 7});
  const ValueId a = n.b.one("Relu", {n.conv(x, 16, 3)});
  const ValueId sum = n.b.add(n.conv(a, 16, 3), a);
  n.g.add_output(n.b.one("Relu", {sum}));
  const auto p = n.check(1e-5, 1e-5, {.strict = true});
  EXPECT_THAT(kernels_of(*p), Not(HasSubstr("pointwise")));
}

// The residual is read again later: it must survive the sum that is written over its copy.
TEST(Regions, ResidualThatLivesOn) {
  Network n;
  const ValueId x = n.input({1, 16, 6, 6});
  const ValueId a = n.b.one("Relu", {n.conv(x, 16, 1)});
  const ValueId first = n.b.one("Relu", {n.b.add(n.conv(a, 16, 3), a)});
  const ValueId second = n.b.one("Relu", {n.b.add(n.conv(first, 16, 3), a)});
  n.g.set_outputs({second, a});
  n.check(1e-5, 1e-5, {.strict = true});
}

TEST(Regions, EveryActivationAfterAConvolution) {
  for (const char* op : {"Relu", "LeakyRelu", "Tanh", "Sigmoid", "HardSwish", "HardSigmoid", "Elu",
                         "Softplus", "Abs", "Neg", "Exp"}) {
    SCOPED_TRACE(op);
    Network n;
    n.g.add_output(n.b.one(op, {n.conv(n.input({1, 3, 8, 8}), 8, 3)}));
    n.check(2e-5, 2e-5);
  }
}

TEST(Regions, MobileNetBlock) {
  Network n;
  const ValueId x = n.input({1, 16, 10, 10});
  const auto relu6 = [&](ValueId v) {
    return n.b.one("Clip",
                   {v, n.b.constant(Tensor::scalar(0.0f)), n.b.constant(Tensor::scalar(6.0f))});
  };
  ValueId y = relu6(n.conv(x, 48, 1));
  y = relu6(n.conv(y, 48, 3, 1, 48));
  y = n.b.add(n.conv(y, 16, 1), x);
  n.g.add_output(n.b.one("GlobalAveragePool", {y}));
  n.check(1e-5, 1e-5, {.strict = true});
}

/// A training normalisation with bounds, and its gradient through both, as one region each.
void check_bounded_norm(DType type, std::optional<float> low, std::optional<float> high) {
  constexpr int64_t kChannels = 21;
  Network n;
  const Shape image = {3, kChannels, 5, 4};
  const ValueId x = n.input(image, -1, 3, type), dy = n.input(image, -1, 1, type);
  const ValueId scale = n.weight({kChannels}), bias = n.weight({kChannels});
  const ValueId mean = n.input({kChannels}), var = n.input({kChannels}, 0.5, 2);
  const Values norm =
      n.b.op("BatchNormalization", {x, scale, bias, mean, var}, {{"training_mode", int64_t{1}}},
             "norm", {"normal", "next_mean", "next_var", "batch_mean", "batch_inv_std"});
  const auto bound = [&](std::optional<float> v) {
    return v ? n.b.constant(Tensor::scalar(*v).cast(type)) : kNoValue;
  };
  const ValueId y = n.b.one("Clip", {norm[0], bound(low), bound(high)});
  const ValueId zero = n.b.constant(Tensor::scalar(0.0f).cast(type));
  ValueId d = dy;
  if (low) d = n.b.where(n.b.greater(y, bound(low)), d, zero);
  if (high) d = n.b.where(n.b.less(y, bound(high)), d, zero);
  const Values gradient = n.b.op("espalier.BatchNormGrad", {x, d, scale, norm[3], norm[4]}, {},
                                 "gradient", {"dx", "dscale", "dbias"});
  n.g.set_outputs({y, norm[1], norm[2], gradient[0], gradient[1], gradient[2]});
  EXPECT_EQ(pass_named("fuse_bounded_norm").run(n.g), 2);
  const double tolerance = type == DType::f32 ? 1e-5 : 0.01;
  const auto p = n.check(tolerance, tolerance);
  EXPECT_THAT(kernels_of(*p), HasSubstr("batch_norm bounded"));
  EXPECT_THAT(kernels_of(*p), HasSubstr("batch_norm_grad bounded"));
}

TEST(Regions, TrainingNormsWithBounds) {
  for (const DType type : {DType::f32, DType::bf16}) {
    check_bounded_norm(type, 0.0f, {});
    check_bounded_norm(type, -0.25f, 0.5f);
    check_bounded_norm(type, {}, 0.125f);
  }
}

TEST(Regions, TrainingNormsWithResiduals) {
  for (const bool bounded : {false, true}) {
    Network n;
    const ValueId x = n.input({3, 21, 5, 4}, -1, 3), r = n.input({3, 21, 5, 4});
    const ValueId mean = n.input({21}), var = n.input({21}, 0.5, 2);
    const Values norm =
        n.b.op("BatchNormalization", {x, n.weight({21}), n.weight({21}), mean, var},
               {{"training_mode", int64_t{1}}}, "norm", {"normal", "next_mean", "next_var"});
    ValueId y = n.b.add(r, norm[0]);
    if (bounded) y = n.b.one("Relu", {y});
    n.g.set_outputs({y, norm[1], n.b.neg(r)});
    EXPECT_EQ(pass_named("fuse_bounded_norm").run(n.g), 1);
    const auto p = n.check(1e-5, 1e-5);
    EXPECT_THAT(kernels_of(*p), HasSubstr("batch_norm bounded"));
  }
}

TEST(Regions, ProductWithBiasResidualAndGelu) {
  Network n;
  const ValueId x = n.input({2, 5, 8}), r = n.input({2, 5, 12});
  const ValueId biased = n.b.add(n.weight({12}), n.b.matmul(x, n.weight({8, 12})));
  const ValueId wide = n.b.matmul(n.b.add(biased, r), n.weight({12, 16}));
  const ValueId y = n.b.add(wide, n.weight({16}));
  const ValueId erf = n.b.one("Erf", {n.b.mul(y, 1 / std::sqrt(2.0))});
  n.g.add_output(n.b.mul(n.b.mul(y, n.b.add(erf, n.b.scalar(1, y))), 0.5));
  const auto p = n.check(1e-5, 1e-5);
  EXPECT_EQ(p->instructions().size(), 2u) << kernels_of(*p);
  EXPECT_THAT(kernels_of(*p), Not(HasSubstr("pointwise")));
}

// A product's second operand may lie by columns.
TEST(Regions, ProductsOfTransposedOperands) {
  const std::vector<int64_t> exchange = {0, 1, 3, 2};
  for (const DType type : {DType::f32, DType::bf16}) {
    if (type == DType::bf16 && !kernels::has_bf16()) continue;
    for (const Shape& b : {Shape{2, 3, 12, 24}, Shape{1, 3, 12, 24}, Shape{1, 1, 1, 24}}) {
      SCOPED_TRACE(to_string(b) + " " + std::string(name_of(type)));
      Network n;
      const ValueId x = n.input({2, 3, 20, 24}, -1, 1, type), w = n.input(b, -1, 1, type);
      n.g.add_output(n.b.matmul(x, n.b.one("Transpose", {w}, {{"perm", exchange}})));
      const double tolerance = type == DType::f32 ? 1e-5 : 0.05;
      const auto p = n.check(tolerance, tolerance);
      EXPECT_EQ(p->instructions().size(), 1u) << kernels_of(*p);
    }
  }
}

// One that somebody else reads is made once and read twice.
TEST(Regions, TranspositionsThatAreReadTwice) {
  Network n;
  const ValueId x = n.input({2, 5, 7}), y = n.input({2, 6, 7});
  const ValueId t = n.b.one("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  n.g.set_outputs({n.b.matmul(y, t), n.b.neg(t)});
  const auto p = n.check(1e-5, 1e-5, {.strict = true});
  EXPECT_THAT(kernels_of(*p), HasSubstr("transpose"));
}

TEST(Regions, WeightsThatAreInputs) {
  Network n;
  const ValueId x = n.input({2, 4, 8, 8}), w = n.input({8, 4, 3, 3}), bias = n.input({8});
  n.g.add_output(n.b.one("Relu", {n.b.one("Conv", {x, w, bias})}));
  n.check(1e-5, 1e-5, {.strict = true});
}

TEST(Regions, PointwiseChainWithBroadcasts) {
  Network n;
  const ValueId x = n.input({2, 5, 4, 3}), per_channel = n.input({5, 1, 1});
  const ValueId y = n.b.mul(n.b.add(x, per_channel), n.weight({1, 5, 1, 1}));
  n.g.add_output(n.b.one("Sigmoid", {n.b.sub(y, n.b.mul(x, 0.5))}));
  const auto p = n.check(1e-5, 1e-6, {.strict = true});
  EXPECT_EQ(p->instructions().size(), 1u) << kernels_of(*p);
}

// ---- 8-bit regions: one step of the result is allowed, where rounding falls the other way ------

Network integer_convolution(DType x_type, int x_zero, DType y_type, int y_zero, bool relu,
                            int64_t kernel) {
  Network n;
  ValueId x = n.input({2, 16, 9, 9}, x_type == DType::u8 ? 0 : -1, 1);
  x = n.quantized(x, 1.0f / 127, x_zero, x_type);
  const int64_t pad = kernel / 2;
  ValueId y = n.b.one("Conv", {x, n.quantized_weight({32, 16, kernel, kernel}, 0), n.weight({32})},
                      {{"pads", std::vector<int64_t>{pad, pad, pad, pad}}});
  if (relu) y = n.b.one("Relu", {y});
  n.g.add_output(n.quantized(y, 0.03f, y_zero, y_type));
  return n;
}

TEST(IntegerRegions, Convolutions) {
  for (int64_t kernel : {1, 3}) {
    SCOPED_TRACE(kernel);
    const std::string used =
        kernels_of(*integer_convolution(DType::u8, 0, DType::u8, 0, true, kernel).check(0, 0.0301));
    EXPECT_THAT(used, Not(HasSubstr("reference")));
    integer_convolution(DType::i8, 0, DType::i8, 0, false, kernel).check(0, 0.0301);
    integer_convolution(DType::i8, 0, DType::u8, 0, true, kernel).check(0, 0.0301);
    integer_convolution(DType::u8, 7, DType::u8, 128, false, kernel).check(0, 0.0301);
    integer_convolution(DType::i8, -5, DType::i8, 11, true, kernel).check(0, 0.0301);
  }
}

TEST(IntegerRegions, DepthwiseConvolutions) {
  for (const int64_t kernel : {3, 5})
    for (const int64_t stride : {1, 2}) {
      SCOPED_TRACE(std::to_string(kernel) + " by " + std::to_string(stride));
      Network n;
      const int64_t pad = kernel / 2;
      const ValueId x = n.quantized(n.input({2, 48, 9, 7}), 1.0f / 127, 7, DType::u8);
      const ValueId w = n.quantized_weight({48, 1, kernel, kernel}, 0);
      const ValueId y = n.b.one("Conv", {x, w, n.weight({48})},
                                {{"pads", std::vector<int64_t>{pad, pad, pad, pad}},
                                 {"strides", std::vector<int64_t>{stride, stride}},
                                 {"group", int64_t{48}}});
      n.g.add_output(n.quantized(n.b.one("Relu", {y}), 0.03f, 0, DType::u8));
      const auto p = n.check(0, 0.0301);
      if (kernels::int8_conv_available()) {
        EXPECT_THAT(kernels_of(*p), HasSubstr("int8_depthwise"));
      }
    }
}

TEST(IntegerRegions, ResidualBlockStaysInIntegers) {
  Network n;
  const ValueId x = n.quantized(n.input({1, 16, 8, 8}, 0, 2), 2.0f / 255, 0, DType::u8);
  const std::vector<int64_t> pads = {1, 1, 1, 1};
  ValueId y =
      n.b.one("Conv", {x, n.quantized_weight({16, 16, 3, 3}, 0), n.weight({16})}, {{"pads", pads}});
  y = n.quantized(n.b.one("Relu", {y}), 0.02f, 0, DType::u8);
  y = n.b.one("Conv", {y, n.quantized_weight({16, 16, 3, 3}, 0), n.weight({16})}, {{"pads", pads}});
  y = n.b.one("Relu", {n.b.add(y, x)});
  n.g.add_output(n.quantized(y, 0.04f, 0, DType::u8));
  // A step of the first result moves the second by less than one of its own.
  const auto p = n.check(0, 0.0801);
  EXPECT_THAT(kernels_of(*p), Not(HasSubstr("reference")));
}

// Integers wider than 8 bits are no business of the 8-bit kernels.
TEST(IntegerRegions, WiderIntegersAround8BitProducts) {
  for (const DType type : {DType::u16, DType::i16}) {
    const auto p = integer_convolution(DType::u8, 0, type, 0, false, 3).check(0, 0.0301);
    EXPECT_THAT(kernels_of(*p), Not(HasSubstr("int8_conv")));
    Network n;
    const ValueId x = n.quantized(n.input({1, 16, 6, 6}, 0, 2), 2.0f / 255, 0, DType::u8);
    const ValueId r = n.quantized(n.input({1, 16, 6, 6}, -9, 9), 0.0004f, 0, type);
    const ValueId y = n.b.one("Conv", {x, n.quantized_weight({16, 16, 1, 1}, 0), n.weight({16})});
    n.g.add_output(n.quantized(n.b.add(y, r), 0.04f, 0, DType::i8));
    n.check(0, 0.0401);
  }
}

TEST(IntegerRegions, MatrixProducts) {
  for (const bool gemm : {false, true}) {
    for (const auto& [type, zero] : {std::pair{DType::u8, 0}, {DType::i8, 0}, {DType::u8, 30}}) {
      Network n;
      const ValueId x = n.quantized(n.input({5, 24}, -0.2, 0.8), 1.0f / 127, zero, type);
      ValueId y;
      if (gemm)
        y = n.b.one("Gemm", {x, n.quantized_weight({10, 24}, 0), n.weight({10})},
                    {{"transB", int64_t{1}}});
      else
        y = n.b.matmul(x, n.quantized_weight({24, 10}, 1));
      n.g.add_output(y);
      n.g.add_output(n.quantized(n.b.one("Relu", {n.b.add(y, y)}), 0.05f, 0, DType::u8));
      n.check(1e-4, 0.0501);
    }
  }
}

TEST(IntegerRegions, PoolsAndSums) {
  Network n;
  const ValueId x = n.quantized(n.input({1, 8, 8, 8}, 0, 2), 2.0f / 255, 0, DType::u8);
  const ValueId p = n.quantized(n.b.one("MaxPool", {x},
                                        {{"kernel_shape", std::vector<int64_t>{2, 2}},
                                         {"strides", std::vector<int64_t>{2, 2}}}),
                                2.0f / 255, 0, DType::u8);
  const ValueId s = n.quantized(n.b.one("Relu", {n.b.add(p, p)}), 0.02f, 3, DType::u8);
  n.g.add_output(n.quantized(n.b.one("GlobalAveragePool", {s}), 0.02f, 0, DType::u8));
  const auto program = n.check(0, 0.0201);
  EXPECT_THAT(kernels_of(*program), AllOf(HasSubstr("max_pool"), Not(HasSubstr("reference"))));
}

// ---- contracts ----------------------------------------------------------------------------------

TEST(Strict, NamesTheNodeAndExplainsEachKernel) {
  Network n;
  const ValueId x = n.input({3, 4}, -9, 9, DType::i64);
  n.g.add_output(n.b.one("Mul", {x, x}, {}, "product"));
  std::string lines;
  CompileOptions options;
  options.strict = true;
  options.explain = [&](const std::string& line) { lines += line + "\n"; };
  try {
    compile(n.g, options);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("Mul 'product'"));
    EXPECT_THAT(e.what(), HasSubstr("only the reference kernel runs it"));
  }
  EXPECT_THAT(lines, HasSubstr("Mul 'product': pointwise does not apply: an operand is i64"));
  EXPECT_THAT(lines, HasSubstr("Mul 'product': runs by reference"));
}

TEST(Compile, RefusesSymbolicShapes) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
  g.add_output(b.add(x, x));
  try {
    compile(g);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("value 'x'"));
    EXPECT_THAT(e.what(), HasSubstr("f32[N,2]"));
  }
}

TEST(Nan, PassesThroughPointwiseChainsAndNormalisations) {
  Network n;
  const ValueId x = n.input({2, 3, 4, 4});
  n.g.add_output(n.b.one("Tanh", {n.b.one("Relu", {n.b.add(x, x)})}));
  n.g.add_output(n.b.one("Softmax", {x}));
  n.g.add_output(n.b.reduce_sum(x, {2, 3}));
  n.inputs[0].mutable_data<float>()[5] = std::nanf("");
  Session session(compile(n.g));
  const auto y = session.run(n.inputs);
  EXPECT_TRUE(std::isnan(y[0].at(5)));
  EXPECT_FALSE(std::isnan(y[0].at(4)));
  EXPECT_TRUE(std::isnan(y[1].at(4)));
  EXPECT_TRUE(std::isnan(y[2].at(0)));
  EXPECT_FALSE(std::isnan(y[2].at(1)));
}

TEST(Profile, NamesInstructionsAndCountsRuns) {
  Network n;
  n.g.add_output(n.b.one("Relu", {n.conv(n.input({1, 3, 8, 8}), 8, 3)}));
  Session session(compile(n.g, {.profile = true}));
  for (int i = 0; i < 3; ++i) session.run(n.inputs);
  const Profile& p = session.profile();
  ASSERT_EQ(p.entries.size(), session.program().instructions().size());
  double macs = 0;
  for (const auto& e : p.entries) {
    EXPECT_EQ(e.microseconds.size(), 3u);
    EXPECT_FALSE(e.kernel.empty());
    macs += e.macs;
  }
  EXPECT_EQ(macs, 8 * 3 * 9 * 64);
  session.clear_profile();
  EXPECT_TRUE(session.profile().entries[0].microseconds.empty());
}

}  // namespace
}  // namespace espalier

// Activations at their edges; Dropout in both forms.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/registry.h"
#include "ir/room.h"
#include "tests/support/run_op.h"

namespace espalier {
namespace {

using testing::omitted;
using testing::run_op;
using testing::user_error;

Tensor floats(std::initializer_list<float> v) {
  return Tensor::from<float>({int64_t(v.size())}, v);
}
std::vector<float> values(const Tensor& t) {
  return {t.span<float>().begin(), t.span<float>().end()};
}
using V = std::vector<float>;

TEST(Activation, SaturatesWithoutOverflow) {
  const Tensor far = floats({-1000, 1000});
  EXPECT_EQ(values(run_op("Sigmoid", {far})[0]), (V{0, 1}));
  EXPECT_EQ(values(run_op("Softplus", {far})[0]), (V{0, 1000}));
  EXPECT_EQ(values(run_op("espalier.Silu", {far})[0]), (V{0, 1000}));
  EXPECT_EQ(values(run_op("Mish", {far})[0]), (V{0, 1000}));
  EXPECT_EQ(values(run_op("Elu", {far})[0]), (V{-1, 1000}));
}

TEST(Activation, KeepsNaN) {
  const Tensor nan = floats({std::numeric_limits<float>::quiet_NaN()});
  for (const char* op : {"Relu", "Sigmoid", "HardSigmoid", "HardSwish", "Gelu", "LeakyRelu"})
    EXPECT_TRUE(std::isnan(values(run_op(op, {nan})[0])[0])) << op;
  EXPECT_TRUE(std::isnan(values(run_op("Clip", {nan, Tensor::scalar(0.0f)})[0])[0]));
}

TEST(Activation, ShrinkKeepsIntegersThatNoFloatHolds) {
  const Tensor x = Tensor::from<int32_t>({3}, {16777217, 0, -16777217});
  EXPECT_EQ(run_op("Shrink", {x})[0].to_i64(), x.to_i64());
}

TEST(Activation, ClipTakesItsBoundsAsTheyCome) {
  const Tensor x = floats({-2, 0, 2}), one = Tensor::scalar(1.0f), minus = Tensor::scalar(-1.0f);
  EXPECT_EQ(values(run_op("Clip", {x, minus, one})[0]), (V{-1, 0, 1}));
  EXPECT_EQ(values(run_op("Clip", {x, omitted(), one})[0]), (V{-2, 0, 1}));
  EXPECT_EQ(values(run_op("Clip", {x, one, minus})[0]), (V{-1, -1, -1}));
  EXPECT_NE(user_error([&] {
              run_op("Clip", {x, floats({0, 1})});
            }).find("rank 0 is needed"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Clip", {x, Tensor::scalar(int32_t{0})});
            }).find("operands are f32 and i32"),
            std::string::npos);
}

TEST(Activation, SlopesMustFitTheOperand) {
  const Tensor x(DType::f32, {2, 3});
  EXPECT_NE(user_error([&] {
              run_op("PRelu", {x, Tensor(DType::f32, {4, 1, 3})});
            }).find("does not fit x"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("PRelu", {Tensor(DType::f32, {1, 3}), x});
            }).find("does not broadcast to x"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Gelu", {x}, {{"approximate", std::string("fast")}});
            }).find("approximate is 'fast'"),
            std::string::npos);
}

Tensor ones(int64_t n) {
  Tensor t(DType::f32, {n});
  std::fill_n(t.mutable_data<float>(), n, 1.0f);
  return t;
}
std::vector<Tensor> dropout(const Tensor& x, float ratio, int64_t step) {
  return run_op("Dropout",
                {x, Tensor::scalar(ratio), omitted(), Tensor::from<int64_t>({2}, {step, 0})},
                {{"training", int64_t{1}}});
}

TEST(Dropout, DropsTheAskedShareAndScalesTheRest) {
  const auto y = dropout(ones(10000), 0.2f, 1);
  double kept = 0, sum = 0;
  for (int64_t i = 0; i < 10000; ++i) {
    kept += y[1].at(i);
    sum += y[0].at(i);
    EXPECT_EQ(y[0].at(i) != 0, y[1].at(i) != 0);
  }
  EXPECT_NEAR(kept, 8000, 200);
  EXPECT_NEAR(sum, kept * 1.25, 1e-2);
}

TEST(Dropout, DrawsAreAFunctionOfTheKey) {
  const Tensor x = ones(100);
  EXPECT_TRUE(dropout(x, 0.5f, 1)[1].identical(dropout(x, 0.5f, 1)[1]));
  EXPECT_FALSE(dropout(x, 0.5f, 1)[1].identical(dropout(x, 0.5f, 2)[1]));
}

TEST(Dropout, IsTheIdentityInInference) {
  const Tensor x = floats({1, 2, 3});
  for (const auto& operands : {std::vector<Tensor>{x},
                               {x, Tensor::scalar(0.9f)},
                               {x, Tensor::scalar(0.9f), Tensor::scalar(false)},
                               {x, Tensor::scalar(0.0f), Tensor::scalar(true)}}) {
    const auto y = run_op("Dropout", operands);
    EXPECT_TRUE(y[0].identical(x));
    EXPECT_EQ(y[1].at(0) + y[1].at(1) + y[1].at(2), 3);
  }
}

TEST(Dropout, TrainingFormNeedsAKeyAndASensibleRatio) {
  const Tensor x = floats({1, 2, 3});
  const auto error = [&](std::vector<Tensor> operands, int64_t training) {
    return user_error([&] { run_op("Dropout", operands, {{"training", training}}); });
  };
  EXPECT_NE(error({x}, 1).find("has no random key"), std::string::npos);
  EXPECT_NE(error({x, Tensor::scalar(0.5f), Tensor::scalar(true)}, 0).find("has no random key"),
            std::string::npos);
  const Tensor key = Tensor::from<int64_t>({2}, {1, 1});
  EXPECT_NE(error({x, Tensor::scalar(1.0f), omitted(), key}, 1).find("the ratio is 1.0"),
            std::string::npos);
  EXPECT_NE(
      error({x, omitted(), omitted(), Tensor::scalar(int64_t{1})}, 1).find("i64[2] is needed"),
      std::string::npos);
}

TEST(Dropout, ChangesFormByMode) {
  const Room& room = room_named("Dropout");
  EXPECT_EQ(room.random_key, 3);
  const Attributes inference = room.parse({{"seed", int64_t{4}}}, "d");
  const Attributes training = room.with_mode(inference, true);
  EXPECT_EQ(room.print(training, false).count("training"), 1u);
  EXPECT_EQ(room.print(room.with_mode(training, false), false).count("training"), 0u);
  EXPECT_EQ(room.print(training, false).count("seed"), 1u);
}

}  // namespace
}  // namespace espalier

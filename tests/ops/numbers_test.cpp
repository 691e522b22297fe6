// Values worked out by hand for reductions, quantisation, losses and optimiser steps, and the
// messages of their errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "ir/registry.h"
#include "ir/room.h"

namespace espalier {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Tensor> run(const char* op, const AttributeMap& attributes,
                        const std::vector<Tensor>& operands) {
  const Room& room = room_named(op);
  std::vector<const Tensor*> p;
  for (const Tensor& t : operands) p.push_back(&t);
  return run_reference(room, room.parse(attributes, op), p);
}

std::string failure(const char* op, const AttributeMap& attributes,
                    const std::vector<Tensor>& operands) {
  try {
    run(op, attributes, operands);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

std::vector<double> values(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(t.at(i));
  return v;
}

Tensor floats(std::initializer_list<float> v) {
  return Tensor::from<float>({int64_t(v.size())}, v);
}

auto near(std::initializer_list<double> v, double tolerance = 1e-6) {
  std::vector<::testing::Matcher<double>> m;
  for (double x : v) m.push_back(DoubleNear(x, tolerance));
  return ::testing::ElementsAreArray(m);
}

TEST(Reductions, LogSumExpNeitherOverflowsNorLosesInfinity) {
  EXPECT_THAT(values(run("ReduceLogSumExp", {}, {floats({1000, 1000})})[0]),
              near({1000 + std::log(2.0)}, 1e-3));
  EXPECT_THAT(values(run("ReduceLogSumExp", {}, {floats({-INFINITY, -INFINITY})})[0]),
              ElementsAre(-INFINITY));
  EXPECT_THAT(values(run("ReduceLogSumExp", {}, {floats({0, INFINITY})})[0]),
              ElementsAre(INFINITY));
}

TEST(Reductions, ExtremesKeepNanAndIntegersStayWhole) {
  EXPECT_TRUE(std::isnan(run("ReduceMax", {}, {floats({1, NAN, 2})})[0].at(0)));
  EXPECT_TRUE(std::isnan(run("ReduceMin", {}, {floats({NAN, 1})})[0].at(0)));
  EXPECT_THAT(values(run("ReduceMean", {}, {Tensor::from<int32_t>({2}, {3, 4})})[0]),
              ElementsAre(3));
  EXPECT_THAT(values(run("ReduceMax", {}, {Tensor::from<int8_t>({2}, {-128, -3})})[0]),
              ElementsAre(-3));
}

TEST(Reductions, TiesGoToTheFirstUnlessAskedOtherwise) {
  const Tensor x = floats({1, 7, 7, 0});
  EXPECT_THAT(values(run("ArgMax", {}, {x})[0]), ElementsAre(1));
  EXPECT_THAT(values(run("ArgMax", {{"select_last_index", int64_t{1}}}, {x})[0]), ElementsAre(2));
  EXPECT_EQ(failure("ArgMax", {}, {Tensor(DType::f32, {0})}),
            "ArgMax: an axis of extent 0 has no extreme element");
  EXPECT_EQ(failure("ReduceSum", {}, {Tensor(DType::string, {2})}),
            "ReduceSum: cannot sum string[2]");
  EXPECT_EQ(failure("ReduceMax", {{"axes", std::vector<int64_t>{3}}}, {x}),
            "ReduceMax: axis 3 is outside a tensor of rank 1");
}

TEST(Quantization, ABlockMayBeLongerThanTheAxis) {
  const Tensor x = Tensor::from<uint8_t>({2, 2}, {1, 2, 3, 4});
  const Tensor scales = Tensor::from<float>({2, 1}, {1, 10});
  for (int64_t size : {int64_t{2}, int64_t{5}, std::numeric_limits<int64_t>::max()})
    EXPECT_THAT(values(run("DequantizeLinear", {{"axis", int64_t{1}}, {"block_size", size}},
                           {x, scales})[0]),
                ElementsAre(1, 2, 30, 40))
        << size;
}

TEST(Quantization, RoundsHalfToEvenAndSaturates) {
  const Tensor scale = Tensor::scalar(2.f);
  const Tensor x = floats({1, 3, 5, -1, -3, 1000, -1000, NAN, INFINITY});
  EXPECT_THAT(values(run("QuantizeLinear", {}, {x, scale, Tensor::scalar<uint8_t>(10)})[0]),
              ElementsAre(10, 12, 12, 10, 8, 255, 0, 10, 255));
  EXPECT_THAT(values(run("QuantizeLinear", {}, {x, scale, Tensor::scalar<int8_t>(0)})[0]),
              ElementsAre(0, 2, 2, 0, -2, 127, -128, 0, 127));
  EXPECT_EQ(failure("QuantizeLinear", {}, {x, scale, Tensor::scalar(1.f)}),
            "QuantizeLinear: cannot quantise to f32");
  EXPECT_EQ(failure("DequantizeLinear", {{"axis", int64_t{0}}},
                    {Tensor(DType::i8, {3, 2}), floats({1, 2})}),
            "DequantizeLinear: 2 scales are given for axis 0 of i8[3,2]");
}

TEST(Losses, CrossEntropyOfEqualLogitsIsTheLogarithmOfTheClasses) {
  const Tensor x(DType::f32, {2, 4}), labels = Tensor::from<int64_t>({2}, {0, 3});
  for (float s : {0.f, 0.3f})
    EXPECT_THAT(values(run("espalier.CrossEntropy", {{"label_smoothing", s}}, {x, labels})[0]),
                near({std::log(4.0)}));
  const auto loss = [&](int64_t label) {
    return failure("espalier.CrossEntropy", {}, {x, Tensor::from<int64_t>({2}, {0, label})});
  };
  EXPECT_EQ(loss(4), "CrossEntropy: label 4 of row 1 is outside the 4 classes");
  EXPECT_EQ(loss(-1), "CrossEntropy: label -1 of row 1 is outside the 4 classes");
  EXPECT_EQ(failure("espalier.CrossEntropy", {}, {x, Tensor::from<int64_t>({1}, {0})}),
            "espalier.CrossEntropy: 2 rows of logits have 1 labels");
  EXPECT_EQ(failure("espalier.MeanSquaredError", {}, {x, Tensor(DType::f32, {4, 2})}),
            "espalier.MeanSquaredError: the prediction is f32[2,4] but the target is f32[4,2]");
}

// Two steps by hand: g = 1 + 0.1 p.
TEST(Optimisers, SgdFollowsItsEquations) {
  const AttributeMap plain = {{"momentum", 0.5f}, {"weight_decay", 0.1f}};
  AttributeMap nesterov = plain;
  nesterov["nesterov"] = int64_t{1};
  const Tensor p = floats({2}), g = floats({1}), m = floats({4}), lr = Tensor::scalar(0.1f);
  const auto a = run("espalier.SgdStep", plain, {p, g, m, lr});
  EXPECT_THAT(values(a[1]), near({3.2}));
  EXPECT_THAT(values(a[0]), near({2 - 0.32}));
  const auto b = run("espalier.SgdStep", nesterov, {p, g, m, lr});
  EXPECT_THAT(values(b[0]), near({2 - 0.1 * (1.2 + 0.5 * 3.2)}));
  EXPECT_EQ(failure("espalier.SgdStep", {}, {p, floats({1, 2}), m, lr}),
            "espalier.SgdStep: operand 1 is f32[2], the parameter is f32[1]");
}

// The first step from zero moments moves by the learning rate against the sign of the gradient.
TEST(Optimisers, AdamWIsUnbiasedFromTheFirstStep) {
  const Tensor p = floats({1, 1}), g = floats({0.25f, -8}), zero = floats({0, 0});
  const Tensor lr = Tensor::scalar(0.1f), one = Tensor::scalar<int64_t>(1);
  const auto step = run("espalier.AdamWStep", {{"weight_decay", 0.f}}, {p, g, zero, zero, lr, one});
  EXPECT_THAT(values(step[0]), near({0.9, 1.1}));
  const auto decayed =
      run("espalier.AdamWStep", {{"weight_decay", 0.5f}}, {p, zero, zero, zero, lr, one});
  EXPECT_THAT(values(decayed[0]), near({0.95, 0.95}));
  EXPECT_THAT(failure("espalier.AdamWStep", {}, {p, g, zero, zero, lr, Tensor::scalar<int64_t>(0)}),
              HasSubstr("step_count is 0"));
}

TEST(Optimisers, ClippingScalesAllGradientsTogether) {
  const AttributeMap limit = {{"max_norm", 1.f}};
  const auto clipped = run("espalier.ClipByGlobalNorm", limit, {floats({3}), floats({0, 4})});
  EXPECT_THAT(values(clipped[0]), near({0.6}));
  EXPECT_THAT(values(clipped[1]), near({0, 0.8}));
  const auto kept = run("espalier.ClipByGlobalNorm", limit, {floats({0.3f}), floats({0, 0})});
  EXPECT_THAT(values(kept[0]), near({0.3}));
  EXPECT_THAT(values(run("espalier.ClipByGlobalNorm", limit, {floats({0})})[0]), ElementsAre(0));
}

}  // namespace
}  // namespace espalier

// What is drawn: the statistics of each distribution, and what draws depend on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "ir/registry.h"
#include "ir/room.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

using Ints = std::vector<int64_t>;

Tensor run(const char* op, const std::vector<Tensor>& operands, AttributeMap attributes) {
  const Room& room = room_named(op);
  attributes.emplace("seed", 0.0f);
  std::vector<const Tensor*> p;
  for (const Tensor& t : operands) p.push_back(&t);
  return run_reference(room, room.parse(attributes, op), p).at(0);
}

std::string refusal(const char* op, const std::vector<Tensor>& operands,
                    const AttributeMap& attributes) {
  try {
    run(op, operands, attributes);
  } catch (const UserError& e) {
    return e.what() + ("; " + e.hint());
  }
  return "";
}

struct Moments {
  double mean = 0, deviation = 0, least = std::numeric_limits<double>::infinity(), most = -least;
};
Moments moments(const Tensor& t) {
  Moments m;
  for (int64_t i = 0; i < t.size(); ++i) {
    m.mean += t.at(i) / double(t.size());
    m.least = std::min(m.least, t.at(i));
    m.most = std::max(m.most, t.at(i));
  }
  for (int64_t i = 0; i < t.size(); ++i)
    m.deviation += std::pow(t.at(i) - m.mean, 2) / double(t.size());
  m.deviation = std::sqrt(m.deviation);
  return m;
}

TEST(Random, NormalNumbersHaveTheirMeanAndDeviation) {
  const Tensor y =
      run("RandomNormal", {}, {{"shape", Ints{200, 100}}, {"mean", 2.0f}, {"scale", 3.0f}});
  const Moments m = moments(y);
  EXPECT_NEAR(m.mean, 2, 0.1);
  EXPECT_NEAR(m.deviation, 3, 0.1);
  double within = 0;
  for (int64_t i = 0; i < y.size(); ++i) within += std::abs(y.at(i) - 2) < 3;
  EXPECT_NEAR(within / double(y.size()), 0.6827, 0.02);
}

TEST(Random, UniformNumbersFillTheirRange) {
  const Moments m =
      moments(run("RandomUniform", {}, {{"shape", Ints{20000}}, {"low", -1.0f}, {"high", 3.0f}}));
  EXPECT_NEAR(m.mean, 1, 0.05);
  EXPECT_NEAR(m.deviation, 4 / std::sqrt(12.0), 0.03);
  EXPECT_GE(m.least, -1);
  EXPECT_LT(m.least, -0.99);
  EXPECT_LT(m.most, 3);
  EXPECT_GT(m.most, 2.99);
}

TEST(Random, UniformNumbersStayBelowTheirBoundInNarrowTypesToo) {
  for (int64_t type : {10, 16}) {  // f16, bf16
    const Tensor y = run("RandomUniform", {}, {{"shape", Ints{40000}}, {"dtype", type}});
    const Moments m = moments(y);
    EXPECT_LT(m.most, 1) << name_of(y.dtype());
    EXPECT_GT(m.most, 0.99) << name_of(y.dtype());
  }
}

TEST(Random, DrawsAreAFunctionOfSeedAndKey) {
  const Tensor x(DType::f32, {8});
  for (const char* op : {"RandomNormalLike", "RandomUniformLike"}) {
    const Tensor plain = run(op, {x}, {});
    EXPECT_TRUE(run(op, {x}, {}).identical(plain)) << op;
    EXPECT_FALSE(run(op, {x}, {{"seed", 1.5f}}).identical(plain)) << op;
    const Tensor keyed = run(op, {x, Tensor::vector_i64(Ints{3, 0})}, {});
    EXPECT_FALSE(keyed.identical(plain)) << op;
    EXPECT_FALSE(run(op, {x, Tensor::vector_i64(Ints{3, 1})}, {}).identical(keyed)) << op;
  }
  EXPECT_THAT(refusal("RandomNormal", {Tensor::vector_i64(Ints{3})}, {{"shape", Ints{2}}}),
              HasSubstr("random key is i64[1]"));
}

TEST(Random, LikeTakesShapeAndType) {
  const Tensor y = run("RandomNormalLike", {Tensor(DType::f64, {2, 3})}, {});
  EXPECT_EQ(y.dtype(), DType::f64);
  EXPECT_EQ(y.shape(), (Shape{2, 3}));
  const Tensor numbers(DType::i32, {4});
  EXPECT_EQ(run("RandomUniformLike", {numbers}, {{"dtype", int64_t{1}}}).dtype(), DType::f32);
  EXPECT_THAT(refusal("RandomUniformLike", {numbers}, {}), HasSubstr("give dtype"));
  EXPECT_THAT(refusal("RandomUniform", {}, {{"shape", Ints{-1}}}), HasSubstr("negative extent"));
}

TEST(Random, BernoulliFollowsEachProbability) {
  Tensor p(DType::f32, {4, 5000});
  for (int64_t i = 0; i < p.size(); ++i)
    p.mutable_data<float>()[i] = std::array{0.0f, 0.25f, 0.7f, 1.0f}[size_t(i / 5000)];
  const Tensor y = run("Bernoulli", {p}, {{"dtype", int64_t{6}}});
  double ones[4] = {};
  for (int64_t i = 0; i < y.size(); ++i) {
    ASSERT_TRUE(y.at(i) == 0 || y.at(i) == 1);
    ones[i / 5000] += y.at(i) / 5000;
  }
  EXPECT_EQ(ones[0], 0);
  EXPECT_NEAR(ones[1], 0.25, 0.03);
  EXPECT_NEAR(ones[2], 0.7, 0.03);
  EXPECT_NEAR(ones[3], 1, 1e-9);
}

TEST(Random, MultinomialFollowsTheLogProbabilities) {
  const float never = -INFINITY;
  const Tensor x =
      Tensor::from<float>({2, 3}, {std::log(1.0f), std::log(3.0f), never, 5, never, 5});
  const Tensor y = run("Multinomial", {x}, {{"sample_size", int64_t{8000}}});
  EXPECT_EQ(y.dtype(), DType::i32);
  ASSERT_EQ(y.shape(), (Shape{2, 8000}));
  double share[2][3] = {};
  for (int64_t i = 0; i < y.size(); ++i) share[i / 8000][y.int_at(i)] += 1.0 / 8000;
  EXPECT_NEAR(share[0][1], 0.75, 0.03);
  EXPECT_EQ(share[0][2], 0);
  EXPECT_NEAR(share[1][0], 0.5, 0.03);
  EXPECT_EQ(share[1][1], 0);
  EXPECT_THAT(refusal("Multinomial", {Tensor::from<float>({1, 2}, {never, never})}, {}),
              HasSubstr("no distribution"));
}

}  // namespace
}  // namespace espalier

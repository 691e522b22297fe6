#include "passes/one_sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "ir/interpret.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/runtime/network.h"

namespace espalier {
namespace {

using testing::random;

Tensor row(const Tensor& t, int64_t i) {
  Shape shape = t.shape();
  const int64_t size = t.size() / shape[0];
  shape[0] = 1;
  Tensor one(DType::f32, shape);
  std::memcpy(one.mutable_raw(), t.data<float>() + i * size, one.bytes());
  return one;
}

/// The network of one sample gives each row of the whole's results.
void expect_apart(const std::string& text) {
  const Graph whole = parse_graph(text);
  const auto samples = as_samples(whole);
  ASSERT_TRUE(samples.has_value()) << text;
  EXPECT_EQ(violation(samples->one), "");
  std::vector<Tensor> inputs;
  for (ValueId v : whole.inputs())
    inputs.push_back(random(whole.value(v).tensor().shape(), inputs.size()));
  const auto want = interpret(whole, inputs);
  for (int64_t i = 0; i < samples->count; ++i) {
    std::vector<Tensor> one;
    for (const Tensor& t : inputs) one.push_back(row(t, i));
    const auto got = interpret(samples->one, one);
    for (size_t k = 0; k < want.size(); ++k) {
      const Tensor expected = row(want[k], i);
      ASSERT_EQ(got[k].shape(), expected.shape());
      for (int64_t e = 0; e < expected.size(); ++e) EXPECT_EQ(got[k].at(e), expected.at(e));
    }
  }
}

void expect_together(const std::string& text) {
  EXPECT_FALSE(as_samples(parse_graph(text)).has_value()) << text;
}

TEST(OneSample, OfAConvolutionalNetwork) {
  expect_apart(R"(graph "g"(%x: f32[3,1,3,3]) -> (%y) {
  %w = constant f32[2,1,2,2] [0.5, -1, 0.25, 1, -0.5, 2, 1, 0.75]
  %v = constant f32[8,2] [1, 2, -1, 0.5, 3, -2, 1, 1, 0.25, -1, 2, 1, -3, 1, 0.5, 2]
  %s = constant i64[2] [3, 8]
  %a: f32[3,2,2,2] = Conv(%x, %w)
  %b: f32[3,2,2,2] = Relu(%a)
  %c: f32[3,2,2,2] = Add(%a, %b)
  %d: f32[3,8] = Reshape(%c, %s)
  %e: f32[3,2] = MatMul(%d, %v)
  %y: f32[3,2] = Softmax(%e)
}
)");
}

// Attention among the positions of each sample.
TEST(OneSample, OfAttention) {
  expect_apart(R"(graph "g"(%x: f32[2,3,4]) -> (%y) {
  %w = constant f32[4,4] [1, 0.5, -1, 0, 2, 1, 0, -0.5, 0, 1, 1, 0.25, -2, 0, 1, 1]
  %heads = constant i64[4] [2, 3, 2, 2]
  %back = constant i64[3] [2, 3, 4]
  %p: f32[2,3,4] = MatMul(%x, %w)
  %q: f32[2,3,2,2] = Reshape(%p, %heads)
  %t: f32[2,2,3,2] = Transpose(%q) {perm = [0, 2, 1, 3]}
  %u: f32[2,2,2,3] = Transpose(%q) {perm = [0, 2, 3, 1]}
  %a: f32[2,2,3,3] = MatMul(%t, %u)
  %s: f32[2,2,3,3] = Softmax(%a)
  %c: f32[2,2,3,2] = MatMul(%s, %t)
  %d: f32[2,3,2,2] = Transpose(%c) {perm = [0, 2, 1, 3]}
  %y: f32[2,3,4] = Reshape(%d, %back)
}
)");
}

TEST(OneSample, OfTwoInputs) {
  expect_apart(R"(graph "g"(%x: f32[4,3], %z: f32[4,3]) -> (%y, %z) {
  %y: f32[4,3] = Mul(%x, %z)
}
)");
}

TEST(OneSample, NotWhereSamplesMeet) {
  expect_together(R"(graph "softmax along the batch"(%x: f32[3,4]) -> (%y) {
  %y: f32[3,4] = Softmax(%x) {axis = 0}
}
)");
  expect_together(R"(graph "the batch's mean beside it"(%x: f32[3,4]) -> (%y) {
  %axes = constant i64[1] [0]
  %m: f32[1,4] = ReduceSum(%x, %axes)
  %y: f32[3,4] = Sub(%x, %m)
}
)");
  expect_together(R"(graph "samples with each other"(%x: f32[3,4]) -> (%y) {
  %t: f32[4,3] = Transpose(%x)
  %y: f32[3,3] = MatMul(%x, %t)
}
)");
  expect_together(R"(graph "a norm of the batch"(%x: f32[3,4]) -> (%y) {
  %y: f32[3,4] = LpNormalization(%x) {axis = 0}
}
)");
  expect_together(R"(graph "sums that go on through the batch"(%x: f32[3,4]) -> (%y) {
  %axis = constant i64[] [0]
  %y: f32[3,4] = CumSum(%x, %axis)
}
)");
  expect_together(R"(graph "another axis becomes the first"(%x: f32[3,3]) -> (%y) {
  %y: f32[3,3] = Transpose(%x)
}
)");
}

// Rows of all samples are one axis there: what a batch of one would make of it is not known.
TEST(OneSample, NotWhereTheBatchIsNoAxisOfItsOwn) {
  expect_together(R"(graph "flattened"(%x: f32[2,3,4]) -> (%y) {
  %flat = constant i64[2] [6, 4]
  %back = constant i64[3] [2, 3, 4]
  %r: f32[6,4] = Reshape(%x, %flat)
  %e: f32[6,4] = Exp(%r)
  %y: f32[2,3,4] = Reshape(%e, %back)
}
)");
}

TEST(OneSample, NotWhereTheBatchHasNumbersOfItsOwn) {
  expect_together(R"(graph "a constant with a row for each sample"(%x: f32[2,3]) -> (%y) {
  %c = constant f32[2,3] [1, 2, 3, 4, 5, 6]
  %y: f32[2,3] = Add(%x, %c)
}
)");
  expect_together(R"(graph "drawn for the batch"(%x: f32[2,3]) -> (%y) {
  %r: f32[2,3] = RandomNormalLike(%x) {seed = 3}
  %y: f32[2,3] = Add(%x, %r)
}
)");
}

// With a batch of one, the axis would go as well.
TEST(OneSample, NotWhereOneIsAnotherCase) {
  expect_together(R"(graph "axes of one go"(%x: f32[2,1,3]) -> (%y) {
  %y: f32[2,3] = Squeeze(%x)
}
)");
}

TEST(OneSample, NotOfOneOrOfDifferentExtents) {
  expect_together(R"(graph "one"(%x: f32[1,3]) -> (%y) {
  %y: f32[1,3] = Relu(%x)
}
)");
  expect_together(R"(graph "two and three"(%x: f32[2,3], %z: f32[3,3]) -> (%y, %z) {
  %y: f32[2,3] = Relu(%x)
}
)");
}

}  // namespace
}  // namespace espalier

#include "passes/open_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "ir/verify.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

Tensor random(const Shape& shape, uint64_t stream) {
  Tensor t(DType::f32, shape);
  const Rng rng(11, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.normal(uint64_t(i)));
  return t;
}

Tensor stacked(const Tensor& a, const Tensor& b) {
  Shape shape = a.shape();
  shape[0] += b.shape()[0];
  Tensor t(DType::f32, shape);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(i < a.size() ? a.at(i) : b.at(i - a.size()));
  return t;
}

/// Two batches through the opened network at once are what they are one by one.
void expect_opens(const std::string& text) {
  const Graph fixed = parse_graph(text);
  const Graph open = with_open_batch(fixed);
  EXPECT_EQ(violation(open), "");
  const Dims& dims = open.value(open.inputs()[0]).tensor().dims;
  EXPECT_FALSE(dims[0].known());
  EXPECT_EQ(open.value(open.outputs()[0]).tensor().dims[0], dims[0]) << print(open);
  const Shape shape = fixed.value(fixed.inputs()[0]).tensor().shape();
  const Tensor a = random(shape, 1), b = random(shape, 2);
  const Tensor want = stacked(interpret(fixed, std::vector<Tensor>{a})[0],
                              interpret(fixed, std::vector<Tensor>{b})[0]);
  const Tensor got = interpret(open, std::vector<Tensor>{stacked(a, b)})[0];
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got.at(i), want.at(i), 1e-5) << i;
  EXPECT_EQ(print(with_open_batch(open)), print(open));
}

void expect_tied(const std::string& text, const std::string& node, const std::string& problem) {
  try {
    with_open_batch(parse_graph(text));
    FAIL() << "was opened";
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.where(), HasSubstr(node));
    EXPECT_THAT(e.problem(), HasSubstr(problem));
    EXPECT_THAT(e.hint(), HasSubstr("open"));
  }
}

TEST(OpenBatch, ReshapesThatSpellTheBatchOut) {
  expect_opens(R"(graph "g"(%x: f32[1,2,3,2]) -> (%y) {
  %flat = constant i64[2] [1, 12]
  %back = constant i64[4] [1, 3, -1, 2]
  %rest = constant i64[2] [-1, 12]
  %a: f32[1,12] = Reshape(%x, %flat)
  %b: f32[1,3,2,2] = Reshape(%a, %back)
  %y: f32[1,12] = Reshape(%b, %rest)
}
)");
}

TEST(OpenBatch, LargerBatchesAndMovedAxes) {
  expect_opens(R"(graph "g"(%x: f32[4,2,3]) -> (%y) {
  %to = constant i64[2] [4, 6]
  %split = constant i64[3] [6, 4, 1]
  %w = parameter f32[6] [1, 2, 3, 4, 5, 6]
  %a: f32[4,6] = Reshape(%x, %to)
  %b: f32[6,4] = Transpose(%a) {perm = [1, 0]}
  %c: f32[4,6] = Transpose(%b) {perm = [1, 0]}
  %y: f32[4,6] = Mul(%c, %w)
}
)");
}

TEST(OpenBatch, ExpandedOperandsAndShapeComputations) {
  expect_opens(R"(graph "g"(%x: f32[2,3]) -> (%y) {
  %shape: i64[2] = Shape(%x)
  %p: f32[2,3] = Reshape(%x, %shape)
  %wide = constant i64[3] [2, 4, 3]
  %axis = constant i64[1] [1]
  %u: f32[2,1,3] = Unsqueeze(%p, %axis)
  %e: f32[2,4,3] = Expand(%u, %wide)
  %y: f32[2,4,3] = Relu(%e)
}
)");
}

TEST(OpenBatch, OpenNetworksStay) {
  const Graph g =
      parse_graph("graph \"g\"(%x: f32[N,2]) -> (%y) {\n  %y: f32[N,2] = Relu(%x)\n}\n");
  EXPECT_EQ(print(with_open_batch(g)), print(g));
}

TEST(OpenBatch, RefusesWhatMixesSamples) {
  expect_tied(R"(graph "g"(%x: f32[1,3]) -> (%y) {
  %y: f32[1,3] = Softmax(%x) {axis = 0} @"mix"
}
)",
              "Softmax 'mix'", "reads its operand's batch as a whole");
  expect_tied(R"(graph "g"(%x: f32[2,3]) -> (%y) {
  %axes = constant i64[1] [0]
  %m: f32[1,3] = ReduceSum(%x, %axes) @"sum"
  %y: f32[2,3] = Sub(%x, %m)
}
)",
              "ReduceSum 'sum'", "works on batches of 2 only");
  expect_tied(R"(graph "g"(%x: f32[1,4,2]) -> (%y) {
  %to = constant i64[2] [4, 2]
  %y: f32[4,2] = Reshape(%x, %to) @"fold"
}
)",
              "Reshape 'fold'", "works on batches of 1 only");
}

TEST(OpenBatch, RefusesConstantsOfTheBatchSize) {
  expect_tied(R"(graph "g"(%x: f32[2,2]) -> (%y) {
  %c = constant f32[2,2] [1, 2, 3, 4]
  %y: f32[2,2] = Add(%x, %c) @"own"
}
)",
              "own", "works on batches of 2 only");
  expect_tied(R"(graph "g"(%x: f32[1,2]) -> (%y) {
  %c = constant f32[1,2] [1, 2]
  %y: f32[1,4] = Concat(%x, %c) {axis = 1} @"join"
}
)",
              "join", "works on batches of 1 only");
}

TEST(OpenBatch, RefusesInputsWithoutACommonBatch) {
  const auto open = [](const char* text) { with_open_batch(parse_graph(text)); };
  EXPECT_THROW(open("graph \"g\"(%a: f32[1,2], %b: f32[2,2]) -> (%y) {\n"
                    "  %y: f32[2,2] = Add(%a, %b)\n}\n"),
               UserError);
  EXPECT_THROW(open("graph \"g\"(%a: f32[]) -> (%y) {\n  %y: f32[] = Relu(%a)\n}\n"), UserError);
}

}  // namespace
}  // namespace espalier

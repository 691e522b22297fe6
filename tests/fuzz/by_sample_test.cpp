#include "fuzz/by_sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/text.h"
#include "tests/runtime/network.h"

namespace espalier::fuzz {
namespace {

using ::testing::HasSubstr;

const char kBatch[] = R"(graph "g"(%x: f32[3,4], %w: f32[4,2]) -> (%y, %s) {
  %y: f32[3,2] = MatMul(%x, %w)
  %s: f32[4,2] = Exp(%w)
}
)";

TEST(BySample, RunsTheOutputsThatAreABatch) {
  const Graph g = parse_graph(kBatch);
  const std::vector<Tensor> inputs = {espalier::testing::random({3, 4}, 1),
                                      espalier::testing::random({4, 2}, 2)};
  Expected want = expected(g, inputs);
  bool ran = false;
  EXPECT_EQ(check_by_sample(g, inputs, want, ran), std::nullopt);
  EXPECT_TRUE(ran);
  want.outputs[0].mutable_data<float>()[5] += 1;
  EXPECT_THAT(check_by_sample(g, inputs, want, ran).value_or(""), HasSubstr("element 5"));
}

TEST(BySample, LeavesSamplesThatMeetTogether) {
  const Graph g = parse_graph(R"(graph "g"(%x: f32[3,4]) -> (%y) {
  %y: f32[3,4] = Softmax(%x) {axis = 0}
}
)");
  const std::vector<Tensor> inputs = {espalier::testing::random({3, 4}, 1)};
  bool ran = true;
  EXPECT_EQ(check_by_sample(g, inputs, expected(g, inputs), ran), std::nullopt);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace espalier::fuzz

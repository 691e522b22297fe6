// The networks that cuts are tested with, coalesced in width.
#include <gtest/gtest.h>

#include "compress/coalesce.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "tests/support/networks.h"
#include "train/step.h"

namespace espalier {
namespace {

struct Named {
  const char* name;
  Graph (*make)();
};
class CoalescedCuts : public ::testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(Networks, CoalescedCuts,
                         ::testing::Values(Named{"mlp", testing::mlp},
                                           Named{"residual", testing::residual},
                                           Named{"depthwise", testing::depthwise},
                                           Named{"concat", testing::concat}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(CoalescedCuts, ComputeWhatTheyDoDeCoalesced) {
  const Graph g = GetParam().make();
  const Coarsening c(g, {.width = 2, .depth = 1});
  EXPECT_FALSE(c.merged_classes().empty());
  EXPECT_EQ(violation(c.small()), "");
  const Graph wide = with_values(g, c.decoalesced(constant_values(c.small())));
  const auto x = testing::random_inputs(g, 2, 4);
  const Tensor small = interpret(c.small(), x)[0];
  EXPECT_LE(testing::largest_difference(small, interpret(wide, x)[0]), 1e-4);
  EXPECT_GT(testing::largest_difference(small, interpret(g, x)[0]), 1e-3);
}

}  // namespace
}  // namespace espalier

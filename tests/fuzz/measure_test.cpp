// What the reproductions of NeuRI and Tzer count.
#include <gtest/gtest.h>

#include "fuzz/measure.h"

namespace espalier::fuzz {
namespace {

double share(int64_t part, int64_t whole) { return double(part) / double(whole); }

TEST(Measures, RulesPutMoreOperatorsIntoGraphsThanRejection) {
  const RulesComparison c = compare_rules(1, 20);
  EXPECT_EQ(c.with_rules.graphs, 20);
  EXPECT_EQ(c.without_rules.graphs, 20);
  ASSERT_GT(c.with_rules.attempts, 0);
  ASSERT_GT(c.without_rules.attempts, 0);
  EXPECT_GT(share(c.with_rules.accepted, c.with_rules.attempts),
            share(c.without_rules.accepted, c.without_rules.attempts));
  ASSERT_GT(c.score.accepted, 0);
  EXPECT_GT(share(c.score.both, c.score.accepted), share(c.score.valid, c.score.uses));
}

TEST(Measures, JointFuzzingIsComparedOnTheSameNumberOfGraphs) {
  const JointComparison c = compare_joint(1, 12);
  for (const Tally* t : {&c.joint, &c.graphs_only, &c.unguided}) {
    EXPECT_EQ(t->graphs, 12);
    EXPECT_GT(t->events, 0u);
    EXPECT_LE(t->found.size(), planted_bugs().size());
  }
}

}  // namespace
}  // namespace espalier::fuzz

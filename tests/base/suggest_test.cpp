#include "base/suggest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace espalier {
namespace {

using ::testing::ElementsAre;

TEST(Suggest, PatternsMatchAnyLettersAndOne) {
  EXPECT_TRUE(matches_pattern("fc1.weight", "fc1.weight"));
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("blocks.*.qkv.*", "blocks.3.attn.qkv.weight"));
  EXPECT_TRUE(matches_pattern("fc?.bias", "fc2.bias"));
  EXPECT_TRUE(matches_pattern("a*b*c", "axxbyybzc"));
  EXPECT_FALSE(matches_pattern("fc?.bias", "fc12.bias"));
  EXPECT_FALSE(matches_pattern("fc1", "fc1.weight"));
  EXPECT_FALSE(matches_pattern("a*b*c", "axxbyybz"));
  EXPECT_FALSE(matches_pattern("", "a"));
}

TEST(Suggest, NearestNamesAreThoseThatBeginAlike) {
  const std::vector<std::string> names = {"conv1.weight", "fc1.weight", "fc1.bias", "norm.weight"};
  EXPECT_THAT(nearest_names("fc9.*", names, 2), ElementsAre("fc1.weight", "fc1.bias"));
  EXPECT_THAT(nearest_names("fc1.wieght", names, 1), ElementsAre("fc1.weight"));
  EXPECT_THAT(nearest_names("nrm*", names, 1), ElementsAre("norm.weight"));
}

}  // namespace
}  // namespace espalier

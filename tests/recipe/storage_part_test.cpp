// How recipes say that training stores numbers in fewer bits, and what they may not say.
#include "recipe/storage_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "recipe/recipe.h"

namespace espalier {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TrainOptions training(const std::string& text) {
  return read_training(Yaml::parse(text, "r.yaml"));
}

std::string refusal(const std::string& text) {
  try {
    training(text);
  } catch (const UserError& e) {
    return std::string(e.what()) + " " + e.hint();
  }
  return "";
}

TEST(StoragePart, ReadsWhatIsStoredHow) {
  const auto states = [](const std::string& text) {
    return training("optimizer: {kind: adamw, states: " + text + "}").optimizer.states.text();
  };
  EXPECT_EQ(states("f32"), "f32");
  EXPECT_EQ(states("bf16"), "bf16");
  EXPECT_EQ(states("fp8"), "e4m3,group=128,expand");
  EXPECT_EQ(states("{format: e5m2}"), "e5m2,group=128,expand");
  EXPECT_EQ(states("{group: 64, expand: false}"), "e4m3,group=64");
  EXPECT_EQ(training("optimizer: {kind: adamw}").optimizer.states.text(), "f32");
  EXPECT_EQ(text_of(*training("saved_activations: fp8").saved_activations), "e4m3,group=16");
  EXPECT_EQ(text_of(*training("saved_activations: {format: e5m2, group: 32}").saved_activations),
            "e5m2,group=32");
  EXPECT_FALSE(training("batch: 2").saved_activations);
}

TEST(StoragePart, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(refusal("optimizer: {kind: adamw, states: fp7}"),
              AllOf(HasSubstr("r.yaml:1"), HasSubstr("states cannot be 'fp7'"),
                    HasSubstr("f32, bf16, fp8")));
  EXPECT_THAT(refusal("optimizer: {kind: adamw, states: {format: e3m4}}"), HasSubstr("e4m3"));
  EXPECT_THAT(refusal("optimizer: {kind: adamw, states: {group: 1}}"), HasSubstr("group"));
  EXPECT_THAT(refusal("saved_activations: bf16"),
              AllOf(HasSubstr("saved_activations cannot be 'bf16'"), HasSubstr("left out")));
  EXPECT_THAT(refusal("saved_activations: {expand: true}"), HasSubstr("expand"));
}

/// What a resumed run must agree on.
TEST(StoragePart, FingerprintsTellThemApart) {
  const std::string plain = training("optimizer: {kind: adamw}").fingerprint();
  EXPECT_NE(training("optimizer: {kind: adamw, states: fp8}").fingerprint(), plain);
  EXPECT_NE(training("{optimizer: {kind: adamw}, saved_activations: fp8}").fingerprint(), plain);
}

}  // namespace
}  // namespace espalier

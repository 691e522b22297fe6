// espalier adapt end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::Ran;
using testing::run_program;
using testing::Scratch;

Ran adapt(const std::vector<std::string>& more) {
  std::vector<std::string> command = {
      "adapt",      testing::source_dir() + "/recipes/zoo/small_digits_gn.yaml",
      "--variable", "classes=20",
      "--variable", "channels=3",
      "--variable", "size=32",
      "--data",     "synthetic:glyphs?samples=100&cache=off",
      "--threads",  "1"};
  command.insert(command.end(), more.begin(), more.end());
  return run_program(command);
}

TEST(Adapt, AnswersAndWritesWhatItBecame) {
  const Scratch scratch;
  const Ran r =
      adapt({"--method", "tent", "--batch", "8", "--json", "-o", scratch.path("net.onnx")});
  ASSERT_EQ(r.code, 0) << r.err;
  const auto j = nlohmann::json::parse(r.out);
  EXPECT_EQ(j["samples"], 20);
  EXPECT_EQ(j["learned_from"], 20);
  EXPECT_EQ(j["backward"], 24);  // the last batch is filled
  EXPECT_TRUE(std::filesystem::exists(scratch.path("net.onnx")));
  const Ran plain = adapt({"--batch", "8", "--least-drop", "0.99", "-q"});
  EXPECT_EQ(plain.code, 0) << plain.err;
  EXPECT_THAT(plain.out, HasSubstr("learned from 0 of 20 samples"));
}

TEST(Adapt, WhatCannotBeIsOneError) {
  const Ran patches = adapt({"--patches", "5"});
  EXPECT_NE(patches.code, 0);
  EXPECT_THAT(patches.err, HasSubstr("cannot be cut into 5 x 5 equal patches"));
  EXPECT_THAT(patches.err, HasSubstr("2, 4, 8"));
  const Ran method = adapt({"--method", "tend"});
  EXPECT_NE(method.code, 0);
  EXPECT_THAT(method.err, HasSubstr("tend"));
  const Ran names = adapt({"--only", "nothing*"});
  EXPECT_NE(names.code, 0);
  EXPECT_THAT(names.err, HasSubstr("is the name of no parameter"));
}

}  // namespace
}  // namespace espalier

// espalier bench --train: steps in their precisions, whole and in part.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/points.h"
#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using testing::Ran;
using testing::run_program;
using testing::Scratch;

/// The one object the verb prints with --json.
json object_of(const Ran& r) {
  EXPECT_EQ(r.code, 0) << r.err;
  return r.code == 0 ? json::parse(r.out) : json::object();
}

TEST(BenchStep, IsTimedInEachPrecisionAndByEachOptimizer) {
  const Scratch scratch;
  scratch.write("small.yaml", testing::points_network());
  const std::pair<const char*, const char*> trainings[] = {
      {"f32", "sgd"}, {"bf16", "sgd"}, {"f32", "adamw"}};
  for (const auto& [precision, optimizer] : trainings) {
    const json o = object_of(
        run_program({"bench", scratch.path("small.yaml"), "--train", precision, "--optimizer",
                     optimizer, "--json", "--seconds", "0.02", "--batch", "16", "--profile"}));
    EXPECT_EQ(o["precision"], precision);
    EXPECT_EQ(o["training"], true);
    EXPECT_EQ(o["batch"], 16);
    EXPECT_GT(o["profile"].size(), 6u);  // more than the forward form has
  }
  // Adam's corrections need the number of the step.
  const json adam = object_of(run_program({"bench", scratch.path("small.yaml"), "--train", "f32",
                                           "--optimizer", "adamw", "--json", "--seconds", "0.02"}));
  EXPECT_EQ(adam["training"], true);
  expect_failure(run_program({"bench", scratch.path("small.yaml"), "--train", "int8"}), 2,
                 "'int8' is not known");
}

TEST(BenchStep, TrainsAPartBesideFrozenLayers) {
  const Scratch scratch;
  scratch.write("small.yaml", testing::points_network());
  const auto bench = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "bench", scratch.path("small.yaml"), "--seconds", "0.02", "--json", "--profile"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  const size_t whole = object_of(bench({"--train", "f32"}))["profile"].size();
  const json part = object_of(bench({"--train", "f32", "--only", "[{last_layers: 1}]"}));
  EXPECT_LT(part["profile"].size(), whole);
  const json ints =
      object_of(bench({"--train", "f32", "--only", "[{last_layers: 1}]", "--frozen", "int8"}));
  EXPECT_EQ(ints["precision"], "f32, frozen layers int8");
  const json any = object_of(bench({"--train", "auto", "--only", "[{last_layers: 1}]"}));
  EXPECT_EQ(any["training"], true);
  expect_failure(bench({"--train", "f32", "--frozen", "int8"}), 2,
                 "is of what a training step leaves");
  expect_failure(bench({"--train", "f32", "--only", "fc*", "--frozen", "int4"}), 2,
                 "'int4' is not known");
  expect_failure(bench({"--only", "[{last_layers: 1}]"}), 2, "is of a training step");
  expect_failure(bench({"--train", "f32", "--only", "[{last_layer: 1}]"}), 3,
                 "no key 'last_layer'");
  expect_failure(bench({"--train", "f32", "--only", "nothing*"}), 3, "is the name of no parameter");
}

}  // namespace
}  // namespace espalier

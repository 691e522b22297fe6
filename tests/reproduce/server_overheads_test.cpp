// The reproduction of server overheads, small.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "reproduce/reproduce.h"
#include "tests/support/run_op.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

const std::string kRecipe = testing::source_dir() + "/recipes/reproduce/dnn-server-overheads.yaml";

Reproduction run(const std::string& keys) {
  const std::string head =
      "espalier: 1\n"
      "reproduces: {id: 87, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
      "measure: server_overheads\n";
  return reproduce(Yaml::parse(head + keys, "r.yaml"), {.recipe = kRecipe, .seed = 0});
}

const std::string kSmall =
    "network: lenet5\nresize: 28\nnormalize: unit\nphotos: 2\nthreads: 2\nrounds: 1\n"
    "seconds: 0.05\nclients: 2\n";

TEST(ReproduceServer, SaysWhereTheTimeOfEitherServerGoes) {
  const Reproduction r = run(kSmall +
                             "sizes: [40x30]\nformats: [jpeg, png]\noverload: png_40x30\n"
                             "overload_seconds: 0.1\nleast_ratio: 0\n");
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_TRUE(r.found.holds) << m.dump();
  EXPECT_EQ(m["failed_requests"], 0);
  for (const char* set : {"jpeg_40x30_", "png_40x30_"})
    for (const auto* side : {&m, &b}) {
      EXPECT_GT((*side)[std::string(set) + "per_second"], 0);
      const auto stages = (*side)[std::string(set) + "stages_ms"].get<std::string>();
      for (const char* stage : {"decode", "compute"}) EXPECT_THAT(stages, HasSubstr(stage));
    }
  EXPECT_GT(m["ratio"], 0);
  EXPECT_GT(m["load_2.0_asked"], 0);
  EXPECT_EQ(m["load_2.0_failed"], 0);
  // One round, two sets: the geometric mean of what was reported.
  const double product = m["jpeg_40x30_ratio"].get<double>() * m["png_40x30_ratio"].get<double>();
  EXPECT_NEAR(m["ratio"].get<double>() * m["ratio"].get<double>(), product, 0.01 * product);
}

TEST(ReproduceServer, BarsAreHeld) {
  EXPECT_FALSE(run(kSmall + "sizes: [8x8]\nformats: [png]\nleast_ratio: 1000\n").found.holds);
}

TEST(ReproduceServer, WrongKeysAreRefused) {
  const auto error = [](const std::string& keys) { return user_error([&] { run(keys); }); };
  EXPECT_THAT(error(""), HasSubstr("sizes"));
  EXPECT_THAT(error(kSmall + "sizes: [40y30]\nformats: [png]\n"), HasSubstr("'40y30' is no size"));
  EXPECT_THAT(error(kSmall + "sizes: [0x30]\nformats: [png]\n"), HasSubstr("has no pixels"));
  EXPECT_THAT(error(kSmall + "sizes: [8x8]\nformats: [gif]\n"), HasSubstr("'gif' is no format"));
  EXPECT_THAT(error(kSmall + "sizes: []\nformats: [png]\n"), HasSubstr("names no pictures"));
  EXPECT_THAT(error(kSmall + "sizes: [8x8]\nformats: [png]\noverload: jpeg_8x8\n"),
              HasSubstr("no pictures 'jpeg_8x8'"));
  EXPECT_THAT(error(kSmall + "sizes: [8x8]\nformats: [png]\nround: 3\n"), HasSubstr("round"));
}

TEST(ReproduceServer, ShippedRecipeSaysWhatItReproduces) {
  const Yaml recipe = Yaml::load(kRecipe);
  EXPECT_EQ(recipe.find("reproduces")->find("id")->text(), "87");
  EXPECT_EQ(recipe.find("least_ratio")->text(), "1.5");
}

}  // namespace
}  // namespace espalier

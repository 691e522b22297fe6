// The reproduction of nn-JIT.web, small: what it counts, not how fast anything is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/jit/micro_kernel.h"
#include "reproduce/reproduce.h"
#include "runtime/machine.h"
#include "tests/support/run_op.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

Reproduction run(const std::string& rest) {
  const std::string text =
      "espalier: 1\n"
      "reproduces: {id: 203, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
      "measure: kernel_tuning\n" +
      rest;
  return reproduce(Yaml::parse(text, "r.yaml"),
                   {.recipe = testing::source_dir() + "/recipes/reproduce/nn-jit-web.yaml"});
}

TEST(KernelTuning, CountsTilesAndTimes) {
  machine_id(1);
  if (!kernels::no_generated_kernels().empty()) GTEST_SKIP() << kernels::no_generated_kernels();
  const Reproduction r =
      run("network: lenet5\nseconds: 20\nseconds_per_tile: 1.0e-5\nrepeats: 2\nrounds: 3\n");
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_EQ(m["products"], 3);  // the layers behind the convolutions
  EXPECT_EQ(m["tunings"], 2);
  EXPECT_GT(m["tiles"], 3);
  EXPECT_GT(b["tiles"], 10 * m["tiles"].get<int64_t>());
  EXPECT_GT(m["served_runs_while_tuning"], 0);
  for (const char* key : {"latency_ms", "share_of_exhaustive_speed", "speed_over_library",
                          "share_of_exhaustive_kernel_speed", "microseconds_per_generated_kernel"})
    EXPECT_GT(m[key], 0) << key;
  for (const char* key : {"library_ms", "fixed_tile_ms", "exhaustive_ms", "tuning_seconds"})
    EXPECT_GT(b[key], 0) << key;
  EXPECT_LT(m["tuning_seconds"], 20);
}

TEST(KernelTuning, WrongRecipesAreRefused) {
  const auto error = [](const std::string& rest) { return user_error([&] { run(rest); }); };
  EXPECT_THAT(error(""), HasSubstr("network"));
  EXPECT_THAT(error("network: lenet55\n"), HasSubstr("lenet55"));
  EXPECT_THAT(error("network: lenet5\nthreads: 0\n"), HasSubstr("r.yaml:5"));
  EXPECT_THAT(error("network: lenet5\nround: 3\n"), HasSubstr("round"));
}

}  // namespace
}  // namespace espalier

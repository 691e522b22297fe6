// Reproductions about a network's size: far too short for a verdict, long enough that every figure
// is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/support/run_op.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;
const bool kQuiet = (set_quiet(true), true);

Reproduction reproduced(const std::string& rest) {
  return reproduce(
      Yaml::parse("espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, "
                  "bar: r}\n" +
                      rest,
                  "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/mup.yaml", .seed = 0});
}

std::string widths(const std::string& optimizer, const std::string& parametrization) {
  return "measure: width_transfer\nseeds: 2\ntuning_seeds: 1\nnetworks:\n"
         "- name: net\n"
         "  model: {zoo: mlp}\n"
         "  data: {kind: synthetic, path: glyphs, samples: 200, val: 0.2, cache: off}\n"
         "  training: {epochs: 1, epoch_steps: 4, batch: 8, optimizer: {kind: " +
         optimizer +
         ", weight_decay: 0}, schedule: {kind: constant, peak: 0.1}, parametrization: " +
         parametrization +
         "}\n  check_multiples: [1, 4]\n  check_steps: 2\n  multiples: [1, 2]\n"
         "  rates: [0.03, 0.1, 0.3]\n";
}

TEST(Scaling, WidthTransferCountsEveryWidth) {
  const ThreadScope one_thread(1);
  const Reproduction r = reproduced(widths("sgd", "{kind: mup, base: {hidden1: 8, hidden2: 8}}"));
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_EQ(m["seeds"], 2);
  for (const char* key : {"best_rate_at_8", "best_rate_at_16", "transferred_loss_at_8",
                          "transferred_loss_at_16", "widest_loss_at_its_best_rate"}) {
    EXPECT_GT(m[std::string("net_") + key].get<double>(), 0) << key;
    EXPECT_GT(b[std::string("net_standard_") + key].get<double>(), 0) << key;
  }
  // At the base all are one network.
  EXPECT_EQ(m["net_best_rate_at_8"], b["net_standard_best_rate_at_8"]);
  EXPECT_EQ(m["net_transferred_loss_at_8"], b["net_standard_transferred_loss_at_8"]);
  EXPECT_LT(b["net_ntk_slope_least"].get<double>(), 0);
  EXPECT_TRUE(m["net_features_flat"].is_boolean());
  EXPECT_THAT(user_error([] { reproduced(widths("sgd", "{kind: ntk, base: {hidden1: 8}}")); }),
              HasSubstr("compares with muP"));
}

}  // namespace
}  // namespace espalier

// Reproductions of fine-tuning: far too short for a verdict, long enough that every figure is
// counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/support/error_of.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

using ::espalier::testing::error_of;

constexpr const char* kHead =
    "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n";

Reproduction reproduced(const std::string& rest) {
  return reproduce(Yaml::parse(kHead + rest, "r.yaml"),
                   {.recipe = testing::source_dir() + "/recipes/reproduce/flora.yaml", .seed = 0});
}

constexpr const char* kText =
    "{kind: synthetic, path: text, tokenizer: bytes, context: 8, samples: 400, cache: off}";

std::string stages(const std::string& data) {
  const std::string training =
      "{epochs: 2, epoch_steps: 6, batch: 8, optimizer: {kind: adamw}, schedule: {kind: constant, "
      "peak: 3e-3}}";
  return "first: {data: " + data + ", training: " + training + "}\nthen: {data: " + data +
         ", training: " + training + "}\n";
}
constexpr const char* kGpt =
    "model: {zoo: char_gpt, variables: {layers: 1, width: 16, heads: 2, hidden: 32, vocabulary: "
    "256}}\n";

/// Runs far too short for a verdict: that every figure is counted from what ran.
TEST(FineTuning, ReproductionsRunAndCount) {
  const ThreadScope one_thread(1);
  const std::string glyphs = "{kind: synthetic, path: glyphs, samples: 200, cache: off}";
  const Reproduction flora =
      reproduced("measure: tucker_adapters\nname: n\nmodel: {zoo: resnet8}\n" + stages(glyphs) +
                 "also: fc.*\nlora_rank: 2\nrates: [1e-3]\nseeds: 2\n");
  const auto& m = flora.found.measured;
  EXPECT_LE(m["trained"], flora.found.baseline["trained"]);
  EXPECT_GT(m["trained"], 20 * 64);
  EXPECT_EQ(m["seeds"], 2);
  const Reproduction peft =
      reproduced("measure: tuning_methods\nname: n\n" + std::string(kGpt) + stages(kText) +
                 "methods: [full, head, bias, \"lora:rank=1\", prefix]\nrates: [1e-3]\nseeds: 1\n");
  EXPECT_EQ(peft.found.baseline["full_share_percent"], 100);
  EXPECT_LT(peft.found.measured["bias_arena_bytes"], peft.found.baseline["full_arena_bytes"]);
  const std::string task = "tasks:\n- {name: n, lora: \"lora:rank=2\", " +
                           std::string(kGpt).substr(0, std::string(kGpt).size() - 1);
  std::string parts = stages(kText);
  std::ranges::replace(parts, '\n', ' ');
  const size_t then = parts.find("then:");
  const Reproduction eva =
      reproduced("measure: adapter_starts\n" + task + ", " + parts.substr(0, then) + ", " +
                 parts.substr(then) + "}\nrates: [1e-3]\nseeds: 2\n");
  EXPECT_GT(eva.found.measured["n_steps_to_target"], 0);
  EXPECT_GT(eva.found.baseline["n_final_loss_weights"], 0);
  EXPECT_THAT(error_of([] {
                reproduced("measure: tuning_methods\nname: n\n" + std::string(kGpt) +
                           stages(kText) + "methods: [bias]\nrates: [1]\n");
              }),
              HasSubstr("compares with 'full'"));
}

}  // namespace
}  // namespace espalier

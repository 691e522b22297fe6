// espalier train: what a run leaves behind, and that nothing stops it from ending the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "tests/cli/points.h"
#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::Ran;
using testing::run_program;
using testing::Running;
using testing::Scratch;

class Train : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch.write("points.csv", testing::points_table());
    scratch.write("net.yaml", testing::points_network());
    scratch.write("recipe.yaml", recipe());
  }
  std::string recipe() const {
    return "espalier: 1\ntask: train\nname: points\nseed: 4\nmodel: {definition: net.yaml}\n"
           "data: {kind: csv, path: " +
           scratch.path("points.csv") +
           "}\n"
           "training:\n  epochs: 12\n  batch: 16\n  schedule: {kind: cosine, peak: 0.05}\n"
           "  log_every: 1\n  save_every: 7\n";
  }
  std::vector<std::string> command(const std::string& out, bool resume = false) const {
    std::vector<std::string> c = {
        "train", scratch.path("recipe.yaml"), "--out", scratch.path(out), "--threads", "2"};
    if (resume) c.emplace_back("--resume");
    return c;
  }
  json summary(const std::string& out) const {
    json j = json::parse(read_file(scratch.path(out + "/summary.json")));
    j.erase("timing");
    for (json& e : j["history"]) {
      e.erase("seconds");
      e.erase("val_seconds");
    }
    return j;
  }
  std::string file(const std::string& name) const { return read_file(scratch.path(name)); }
  int64_t lines(const std::string& out) const {
    std::error_code missing;
    if (!std::filesystem::exists(scratch.path(out + "/log.jsonl"), missing)) return 0;
    const std::string log = file(out + "/log.jsonl");
    return std::count(log.begin(), log.end(), '\n');
  }
  /// Waits until the run's log has that many lines, or it ends.
  void wait_for(Running& run, const std::string& out, int64_t count) const {
    while (!run.ended() && lines(out) < count)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  void expect_same_end(const std::string& a, const std::string& b) const {
    EXPECT_EQ(summary(a), summary(b));
    EXPECT_EQ(file(a + "/model.onnx"), file(b + "/model.onnx"));
    EXPECT_EQ(lines(a), lines(b));
  }

  Scratch scratch;
};

TEST_F(Train, LeavesLogCheckpointsSummaryAndNetwork) {
  auto c = command("run");
  c.emplace_back("--json");
  const Ran ran = run_program(c);
  ASSERT_EQ(ran.code, 0) << ran.err;
  const json printed = json::parse(ran.out);
  EXPECT_GT(printed["test"]["accuracy"].get<double>(), 0.9);
  EXPECT_EQ(printed["params"], 2 * 24 + 24 + 24 * 3 + 3);
  EXPECT_EQ(printed["macs"], 2 * 24 + 24 * 3);
  EXPECT_EQ(printed["history"].size(), 12u);
  EXPECT_THAT(file("run/recipe.yaml"), HasSubstr("name: points"));
  const Ran eval = run_program({"eval", scratch.path("run/model.onnx"), "--data",
                                "csv:" + scratch.path("points.csv"), "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(json::parse(eval.out)["value"], printed["test"]["accuracy"]);
}

TEST_F(Train, KilledAnywhereItEndsTheSame) {
  ASSERT_EQ(run_program(command("whole")).code, 0);
  for (const int64_t at : {0, 5, 20, 47, 100, 200}) {
    Running run(command("killed", true));
    wait_for(run, "killed", at);
    run.send(SIGKILL);
    run.wait();
  }
  const Ran last = run_program(command("killed", true));
  ASSERT_EQ(last.code, 0) << last.err;
  expect_same_end("whole", "killed");
}

TEST_F(Train, ALanguageModelKilledAnywhereEndsTheSame) {
  scratch.write("recipe.yaml",
                "espalier: 1\ntask: train\nname: gpt\nseed: 4\n"
                "model: {zoo: char_gpt, variables: {layers: 1, width: 16, heads: 2, hidden: 32}}\n"
                "data:\n  - {kind: text, path: no/such/text}\n"
                "  - {kind: synthetic, path: text, samples: 300, context: 8, stride: 1}\n"
                "training:\n  epochs: 3\n  epoch_steps: 40\n  batch: 4\n  clip_norm: 1\n"
                "  optimizer: {kind: adafactor}\n  schedule: {kind: cosine, peak: 0.05}\n"
                "  log_every: 1\n  save_every: 7\n");
  const Ran whole = run_program(command("whole"));
  ASSERT_EQ(whole.code, 0) << whole.err;
  for (const int64_t at : {0, 5, 33, 47, 100}) {
    Running run(command("killed", true));
    wait_for(run, "killed", at);
    run.send(SIGKILL);
    run.wait();
  }
  const Ran last = run_program(command("killed", true));
  ASSERT_EQ(last.code, 0) << last.err;
  expect_same_end("whole", "killed");
  const json end = summary("whole");
  EXPECT_EQ(end["steps"], 120);
  EXPECT_NEAR(end["test"]["perplexity"].get<double>(), std::exp(end["test"]["loss"].get<double>()),
              1e-9);
  EXPECT_LT(end["history"][2]["val_loss"].get<double>(), end["history"][0]["val_loss"]);
  EXPECT_GT(end["optimizer"]["state_bytes"].get<int64_t>(), 0);
  const Ran eval = run_program({"eval", scratch.path("whole/model.onnx"), "--data",
                                "synthetic:text?samples=300&context=8", "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(json::parse(eval.out)["metric"], "perplexity");
  EXPECT_NEAR(json::parse(eval.out)["loss"].get<double>(), end["test"]["loss"].get<double>(), 1e-4);
}

TEST_F(Train, InterruptedItSavesAndGoesOn) {
  ASSERT_EQ(run_program(command("whole")).code, 0);
  Running run(command("stopped"));
  wait_for(run, "stopped", 30);
  run.send(SIGINT);
  EXPECT_EQ(run.wait(), 130);
  EXPECT_FALSE(std::filesystem::exists(scratch.path("stopped/summary.json")));
  const Ran again = run_program(command("stopped"));
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.err, HasSubstr("holds a run already"));
  ASSERT_EQ(run_program(command("stopped", true)).code, 0);
  expect_same_end("whole", "stopped");
}

TEST_F(Train, ModulesAreTrainedByProcessesOfTheirOwn) {
  scratch.write("recipe.yaml",
                "espalier: 1\ntask: train\nname: gpt\nseed: 4\n"
                "model: {zoo: char_gpt, variables: {layers: 4, width: 16, heads: 2, hidden: 32}}\n"
                "data: {kind: synthetic, path: text, samples: 300, context: 8, stride: 1}\n"
                "training:\n  epochs: 1\n  epoch_steps: 20\n  batch: 4\n"
                "  optimizer: {kind: adamw}\n  schedule: {kind: cosine, peak: 0.004}\n"
                "  incubation: {meta_epochs: 1, module_epochs: 1, modules: 2}\n");
  const auto with_job = [&](const std::string& job, const std::string& option) {
    auto c = command("parts", true);
    c.insert(c.end(), {"--job", job, option});
    return c;
  };
  ASSERT_EQ(run_program(command("whole")).code, 0);
  testing::expect_failure(run_program(with_job("module2", "-q")), 2, "needs meta", "--job meta");
  testing::expect_failure(run_program(with_job("modul", "-q")), 2, "is no job", "module2");
  const Ran meta = run_program(with_job("meta", "--json"));
  ASSERT_EQ(meta.code, 0) << meta.err;
  EXPECT_EQ(json::parse(meta.out)["job"], "meta");
  Running first(with_job("module1", "-q"));
  EXPECT_EQ(run_program(with_job("module2", "-q")).code, 0);
  EXPECT_EQ(first.wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(scratch.path("parts/summary.json")));
  ASSERT_EQ(run_program(command("parts", true)).code, 0);
  expect_same_end("whole", "parts");
}

TEST_F(Train, MistakesAreOneLineWithAPlace) {
  const auto fails = [&](const std::string& text, int code) {
    scratch.write("recipe.yaml", text);
    const Ran ran = run_program(command("bad"));
    EXPECT_EQ(ran.code, code) << ran.err;
    return ran.err;
  };
  EXPECT_THAT(fails(recipe() + "  momentum: 0.9\n", 3),
              HasSubstr("recipe.yaml:13: training has no key 'momentum'"));
  EXPECT_THAT(fails(recipe() + "modle: x\n", 3),
              HasSubstr("recipe.yaml:13: a recipe has no key 'modle'"));
  std::string missing = recipe();
  missing.replace(missing.find("points.csv"), 10, "absent.csv");
  EXPECT_THAT(fails(missing, 3), HasSubstr("absent.csv"));
  std::string task = recipe();
  task.replace(task.find("task: train"), 11, "task: fit");
  EXPECT_THAT(fails(task, 3), HasSubstr("recipe.yaml:2: this recipe is for the task 'fit'"));
  scratch.write("recipe.yaml", recipe());
  scratch.write("file", "");
  const Ran ran =
      run_program({"train", scratch.path("recipe.yaml"), "--out", scratch.path("file/run")});
  EXPECT_EQ(ran.code, 3);
  EXPECT_THAT(ran.err, HasSubstr("cannot be made"));
  EXPECT_EQ(run_program({"train", "/nowhere.yaml"}).code, 3);
}

TEST_F(Train, DamagedCheckpointsAreRefusedByName) {
  ASSERT_EQ(run_program(command("run")).code, 0);
  std::string newest;
  for (const auto& e : std::filesystem::directory_iterator(scratch.path("run/checkpoints")))
    newest = std::max(newest, e.path().string());
  const std::string bytes = read_file(newest);
  scratch.write("run/checkpoints/" + std::filesystem::path(newest).filename().string(),
                bytes.substr(0, bytes.size() / 2));
  const Ran ran = run_program(command("run", true));
  EXPECT_EQ(ran.code, 3);
  EXPECT_THAT(ran.err, HasSubstr(newest));
  auto other = command("run", true);
  other[5] = "1";
  scratch.write("run/checkpoints/" + std::filesystem::path(newest).filename().string(), bytes);
  const Ran threads = run_program(other);
  EXPECT_EQ(threads.code, 2);
  EXPECT_THAT(threads.err, HasSubstr("was made with 2 threads, not 1"));
}

}  // namespace
}  // namespace espalier

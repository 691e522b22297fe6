// bench --tune and --tuned, as the program takes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "kernels/jit/micro_kernel.h"
#include "runtime/machine.h"
#include "runtime/tuned_kernels.h"
#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ran;
using testing::run_program;
using testing::Scratch;

// Constants drawn by hand are short; the product of two values needs none.
const char* const kNetwork = R"(graph "net"(%x: f32[N,8], %w: f32[8,24]) -> (%y) {
  %y: f32[N,24] = MatMul(%x, %w)
}
)";
const char* const kNothing = R"(graph "net"(%x: f32[N,8]) -> (%y) {
  %y: f32[N,8] = Relu(%x)
}
)";

/// The cache is a folder of the test's own.
class TuneVerb : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ESPALIER_CACHE", scratch.path("cache").c_str(), 1);
    scratch.write("net.esp", kNetwork);
    net = scratch.path("net.esp");
    file = tuned_path(machine_id(1));
  }
  void TearDown() override { ::unsetenv("ESPALIER_CACHE"); }
  bool generates() const { return kernels::no_generated_kernels().empty(); }

  Ran tune(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command = {"bench", net,         "--tune", "20s",     "--seconds",
                                        "0.05",  "--threads", "1",      "--shape", "x=5,8"};
    command.insert(command.end(), more.begin(), more.end());
    return run_program(command);
  }

  Scratch scratch;
  std::string net;
  std::filesystem::path file;
};

TEST_F(TuneVerb, MeasuresKeepsAndUses) {
  if (!generates()) GTEST_SKIP() << kernels::no_generated_kernels();
  const Ran r = tune({"--json"});
  ASSERT_EQ(r.code, 0) << r.err;
  const json j = json::parse(r.out);
  ASSERT_EQ(j["products"].size(), 1u);
  EXPECT_EQ(j["products"][0]["problem"], "5x24x8 b24");
  EXPECT_GT(j["products"][0]["tiles"], 0);
  EXPECT_GT(j["before_ms"], 0);
  EXPECT_GT(j["after_ms"], 0);
  EXPECT_LT(j["largest_difference"], 1e-5);
  if (!j["kept"]) return;
  EXPECT_EQ(j["file"], file.string());
  const std::string kept = read_file(file);
  // What is known is not measured again.
  const Ran again = tune({"--json"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(json::parse(again.out)["products"], j["products"]);
  const Ran used = run_program({"bench", net, "--tuned", "--seconds", "0.05", "--threads", "1",
                                "--shape", "x=5,8", "--json"});
  EXPECT_EQ(used.code, 0) << used.err;
}

TEST_F(TuneVerb, ADamagedFileIsSaidAndReplaced) {
  if (!generates()) GTEST_SKIP() << kernels::no_generated_kernels();
  make_folder(file.parent_path());
  write_file_atomic(file, "{\"espalier_tuned\":1, \"machine\":");
  const Ran r = tune();
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_THAT(r.err, HasSubstr("is damaged"));
  EXPECT_THAT(r.out, HasSubstr("5x24x8 b24"));
  if (r.out.find("nothing is kept") != std::string::npos) return;
  EXPECT_THAT(tune().err, Not(HasSubstr("damaged")));
}

TEST_F(TuneVerb, TunedNeedsSomethingTuned) {
  for (const auto& command : std::vector<std::vector<std::string>>{
           {"bench", net, "--tuned", "--threads", "1"},
           {"serve", net, "--tuned", "--port", "0", "--threads", "1"}})
    expect_failure(run_program(command), 3, "nothing was tuned for", "bench MODEL --tune 30s");
}

TEST_F(TuneVerb, WrongUseIsOneLine) {
  expect_failure(run_program({"bench", net, "--tune", "soon"}), 2,
                 "--tune: 'soon' is not a duration", "30s");
  for (const char* text : {"0", "-3s", "30 s", "nan", "1e99h", ""})
    EXPECT_EQ(run_program({"bench", net, "--tune", text}).code, 2) << text;
  expect_failure(run_program({"bench", net, "--tune", "1s", "--profile"}), 2, "goes with none of");
  expect_failure(run_program({"bench", net, "--tune", "1s", "--tuned"}), 2, "do not go together");
  expect_failure(run_program({"bench", net, "--whole-space"}), 2, "is a way to tune");
  if (!generates()) return;
  scratch.write("nothing.esp", kNothing);
  expect_failure(run_program({"bench", scratch.path("nothing.esp"), "--tune", "1s"}), 4,
                 "has no matrix product");
}

TEST_F(TuneVerb, MachinesWithoutVectorsAreToldSo) {
  ::setenv("ESPALIER_MAX_ISA", "BASELINE", 1);
  const Ran r = tune();
  ::unsetenv("ESPALIER_MAX_ISA");
  expect_failure(r, 4, "AVX-512 and AVX2");
}

}  // namespace
}  // namespace espalier

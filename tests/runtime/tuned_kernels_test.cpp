// The cache of tuned kernels: a round trip, and files that cannot be used.
#include "runtime/tuned_kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "base/log.h"
#include "tests/support/run_op.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

const MachineId kHere{"Some CPU", "AVX3 and avx512_core", "oneDNN 2.7.4", 2};

TunedKernels some() {
  TunedKernels k(kHere);
  k.set({"128x256x256 bias", kernels::GemmTile{.rows = 2, .vectors = 2, .pack_a = true}, 0.08, 0.09,
         40, 0.2});
  k.set({"1x10x64", std::nullopt, 0.002, 0.001, 12, 0.1});
  return k;
}

/// Says nothing to people; keeps it.
class Warnings {
 public:
  Warnings() : former_(set_log_sink([this](std::string_view line) { said += line; })) {}
  ~Warnings() { set_log_sink(former_); }
  std::string said;

 private:
  LogSink former_;
};

std::filesystem::path in_temp(const std::string& name) {
  return std::filesystem::path(::testing::TempDir()) / name;
}

TEST(TunedKernels, RoundTrip) {
  const auto path = in_temp("espalier_tuned_round.json");
  save_tuned(some(), path);
  const TunedKernels again = load_tuned(path, kHere);
  EXPECT_EQ(again.machine(), kHere);
  EXPECT_EQ(again.products(), some().products());
}

TEST(TunedKernels, ServeWhatWasDecidedForThem) {
  kernels::GemmProblem p;
  p.m = 128;
  p.n = p.k = p.a_stride = 256;
  EXPECT_FALSE(some().tile_for(p));  // without a bias it is another problem
  p.bias = true;
  ASSERT_TRUE(some().tile_for(p));
  EXPECT_EQ(some().tile_for(p)->rows, 2);
  kernels::GemmProblem other;
  other.m = 1;
  other.n = 10;
  other.k = other.a_stride = 64;
  ASSERT_TRUE(some().find(other.text()));
  EXPECT_FALSE(some().tile_for(other));
}

TEST(TunedKernels, RefuseWhatIsDamaged) {
  const std::string good = tuned_text(some());
  const auto error = [](const std::string& text) {
    return user_error([&] { parse_tuned(text, "t.json"); });
  };
  EXPECT_EQ(error(good), "(no error)");
  for (const size_t cut : {size_t{0}, good.size() / 3, good.size() - 3})
    EXPECT_THAT(error(good.substr(0, cut)), HasSubstr("t.json: is damaged, or something else"));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return error(text.replace(at, from.size(), to));
  };
  EXPECT_THAT(with("\"espalier_tuned\":1", "\"espalier_tuned\":99"),
              HasSubstr("is stale: it has version 99"));
  EXPECT_THAT(with("\"rows\":2", "\"rows\":800"), HasSubstr("no kernel is generated for it"));
  EXPECT_THAT(with("\"rows\":2", "\"rows\":\"eight\""), HasSubstr("is damaged"));
  EXPECT_THAT(with("\"unroll\":4", "\"enroll\":4"), HasSubstr("is damaged"));
  EXPECT_THAT(with("\"unroll\":4", "\"unroll\":0"), HasSubstr("is damaged"));
}

TEST(TunedKernels, AFileThatCannotBeUsedIsAWarningAndHoldsNothing) {
  const auto path = in_temp("espalier_tuned_bad.json");
  const std::string good = tuned_text(some());
  for (const std::string& text : {std::string(), std::string("\x00\xff{", 3), good.substr(0, 99)}) {
    write_file_atomic(path, text);
    Warnings warnings;
    EXPECT_TRUE(load_tuned(path, kHere).products().empty());
    EXPECT_THAT(warnings.said, HasSubstr("is damaged"));
    EXPECT_THAT(warnings.said, HasSubstr("it is left out"));
  }
  save_tuned(some(), path);
  MachineId there = kHere;
  there.cpu = "Another CPU";
  Warnings warnings;
  EXPECT_TRUE(load_tuned(path, there).products().empty());
  EXPECT_THAT(warnings.said, HasSubstr("was tuned on Some CPU"));
}

TEST(TunedKernels, TheNumberOfThreadsDoesNotDecideWhoServes) {
  const auto product = [](const std::string& problem, int rows) {
    TunedProduct p{problem, std::nullopt, 1, 1, 1, 1};
    if (rows > 0) p.tile = kernels::GemmTile{.rows = rows, .vectors = 1};
    return p;
  };
  MachineId alone = kHere;
  alone.threads = 1;
  TunedKernels one(alone), two(kHere);
  one.set(product("both", 3));
  two.set(product("both", 4));
  one.set(product("only at one", 5));
  one.set(product("faster at one", 6));
  two.set(product("faster at one", 0));
  one.set(product("slower at one", 0));
  two.set(product("slower at one", 7));
  const TunedKernels for_one = combined(one, two), for_two = combined(two, one);
  EXPECT_EQ(for_one.machine().threads, 1);
  EXPECT_EQ(for_two.machine().threads, 2);
  ASSERT_EQ(for_one.products().size(), 4u);
  for (const auto& [problem, p] : for_one.products())
    EXPECT_EQ(p.tile.has_value(), for_two.find(problem)->tile.has_value()) << problem;
  EXPECT_EQ(for_one.find("both")->tile->rows, 3);
  EXPECT_EQ(for_two.find("both")->tile->rows, 4);
  EXPECT_EQ(for_two.find("only at one")->tile->rows, 5);
  EXPECT_FALSE(for_one.find("faster at one")->tile);
  EXPECT_FALSE(for_one.find("slower at one")->tile);
}

TEST(TunedKernels, AMissingFileIsNoNews) {
  Warnings warnings;
  EXPECT_TRUE(load_tuned(in_temp("espalier_tuned_none.json"), kHere).products().empty());
  EXPECT_EQ(warnings.said, "");
}

}  // namespace
}  // namespace espalier

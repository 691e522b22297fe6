#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "base/threads.h"

namespace espalier {
namespace {

TEST(Rng, MatchesThePublishedPhiloxVectors) {
  // Random123 known-answer test, philox4x32-10, zero counter and key.
  const auto b = Rng(0, 0).block(0);
  EXPECT_EQ(b[0], 0x6627e8d5u);
  EXPECT_EQ(b[1], 0xe169c58du);
  EXPECT_EQ(b[2], 0xbc57ac4cu);
  EXPECT_EQ(b[3], 0x9b00dbd8u);
}

TEST(Rng, PermutationHoldsEveryIndexOnce) {
  auto p = Rng(7, 3).permutation(1000);
  std::sort(p.begin(), p.end());
  for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(p[size_t(i)], i);
}

TEST(Rng, NormalHasUnitVariance) {
  Rng rng(1, 2);
  double sum = 0, squares = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    const double x = rng.normal(i);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0.0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1.0, 0.02);
}

TEST(Threads, ParallelForCoversEachIndexOnceAndCarriesExceptions) {
  std::vector<std::atomic<int>> hits(1001);
  parallel_for(1001, 10, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) ++hits[size_t(i)];
  });
  for (auto& h : hits) ASSERT_EQ(h, 1);
  EXPECT_THROW(parallel_for(100, 1, [](int64_t, int64_t) { throw bad_input("x", "y"); }),
               UserError);
}

TEST(Files, AtomicWriteReplacesWholeFilesAndNamesTheFailingPath) {
  const auto path = std::filesystem::temp_directory_path() / "espalier_files_test";
  write_file_atomic(path, "one");
  write_file_atomic(path, "two");
  EXPECT_EQ(read_file(path), "two");
  std::filesystem::remove(path);
  try {
    write_file_atomic("/nonexistent/folder/file", "x");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kBadInput);
    EXPECT_EQ(e.where(), "/nonexistent/folder/file");
  }
}

TEST(Error, CheckNamesTheBrokenCondition) {
  try {
    ESP_CHECK(1 == 2, "numbers disagree");
    FAIL();
  } catch (const InternalError& e) {
    EXPECT_NE(std::string(e.what()).find("numbers disagree (expected 1 == 2)"), std::string::npos);
  }
}

}  // namespace
}  // namespace espalier

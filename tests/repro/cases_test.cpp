// Every tests/repro/*.esp is a case that the fuzzer, or somebody else, found the compiler to fail
// on: network, passes, and inputs by seed, with what was found in its `meta` lines. Now it gives
// what the reference gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "fuzz/check.h"
#include "passes/passes.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

std::vector<std::string> repro_files() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::source_dir() + "/tests/repro"))
    if (entry.path().extension() == ".esp") files.push_back(entry.path().stem().string());
  std::sort(files.begin(), files.end());
  return files;
}

class Repro : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Cases, Repro, ::testing::ValuesIn(repro_files()),
                         [](const auto& info) { return info.param; });

TEST_P(Repro, GivesWhatTheReferenceGives) {
  const std::string path = (testing::source_dir() + "/tests/repro/") + GetParam() + ".esp";
  fuzz::Note note;
  fuzz::Case c = fuzz::case_from_text(read_file(path), path, &note);
  EXPECT_FALSE(note.oracle.empty()) << "meta \"fuzz.oracle\" says which oracle told";
  EXPECT_FALSE(note.found.empty()) << "meta \"fuzz.found\" says what was wrong";
  // As it was found, and by the compiler's own order.
  for (const auto& passes : {c.passes, inference_pipeline()}) {
    c.passes = passes;
    const fuzz::Outcome o = fuzz::check(c, {}, {.onnx = note.oracle == "onnx"});
    EXPECT_EQ(o.skipped, "");
    if (o.finding) ADD_FAILURE() << o.finding->oracle << ": " << o.finding->found;
  }
}

}  // namespace
}  // namespace espalier

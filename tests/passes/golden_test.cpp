// Golden tests of passes: each tests/passes/golden/*.esp holds the pass to run (`// pass: NAME`), a
// graph, a line `// gives:` and the graph expected. Write a new case by hand, or run with
// ESPALIER_UPDATE_GOLDEN=1 and read what it wrote.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/passes.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

constexpr std::string_view kGives = "// gives:\n";

std::vector<std::string> golden_files() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::source_dir() + "/tests/passes/golden"))
    if (entry.path().extension() == ".esp") files.push_back(entry.path().stem().string());
  std::sort(files.begin(), files.end());
  return files;
}

class Golden : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Passes, Golden, ::testing::ValuesIn(golden_files()),
                         [](const auto& info) { return info.param; });

TEST_P(Golden, PassGivesTheReviewedGraph) {
  const std::string path = (testing::source_dir() + "/tests/passes/golden/") + GetParam() + ".esp";
  const std::string text = read_file(path);
  const size_t split = text.find(kGives);
  ASSERT_NE(split, std::string::npos) << path << " has no '// gives:' line";
  const std::string input = text.substr(0, split);
  constexpr std::string_view kPass = "// pass: ";
  const size_t at = input.find(kPass);
  ASSERT_NE(at, std::string::npos) << path << " names no pass";
  const std::string pass =
      input.substr(at + kPass.size(), input.find('\n', at) - at - kPass.size());

  Graph graph = parse_graph(input, path);
  pass_named(pass).run(graph);
  EXPECT_EQ(violation(graph), "");
  const std::string got = print(graph);
  if (getenv("ESPALIER_UPDATE_GOLDEN"))
    write_file_atomic(path, input + std::string(kGives) + got);
  else
    EXPECT_EQ(got, text.substr(split + kGives.size()));
}

TEST(Golden, EveryPassHasACase) {
  std::string all;
  for (const auto& name : golden_files())
    all += read_file((testing::source_dir() + "/tests/passes/golden/") + name + ".esp");
  for (const Pass& pass : all_passes())
    EXPECT_NE(all.find("// pass: " + std::string(pass.name) + "\n"), std::string::npos)
        << pass.name;
}

TEST(Passes, UnknownNamesAreRefused) {
  Graph g;
  PassOptions options;
  options.disabled = {"fold_everything"};
  try {
    run_passes(g, options);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUsage);
    EXPECT_NE(e.hint().find("fold_constants"), std::string::npos);
  }
}

}  // namespace
}  // namespace espalier

// ONNX's own test cases against the manifest. In one process and one test: starting a process for
// each of a thousand cases would take longer than running them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "tests/conformance/manifest.h"
#include "tests/conformance/run_case.h"
#include "tests/support/tree.h"

namespace espalier::testing {
namespace {
namespace fs = std::filesystem;

fs::path cases_folder() {
  const char* chosen = std::getenv("ESPALIER_ONNX_TESTDATA");
  return chosen && *chosen ? chosen : "/usr/share/libonnx-testdata/data";
}

const std::string kManifest = testing::source_dir() + "/tests/conformance/conformance.manifest";

std::set<std::string> all_cases() {
  std::set<std::string> names;
  for (const char* family : {"node", "pytorch-converted", "pytorch-operator", "simple"}) {
    if (!fs::exists(cases_folder() / family)) continue;
    for (const auto& entry : fs::directory_iterator(cases_folder() / family))
      if (fs::exists(entry.path() / "model.onnx"))
        names.insert(std::string(family) + "/" + entry.path().filename().string());
  }
  return names;
}

bool one_line(char c) { return c != '\n' && c != '\r'; }

std::string reason_of(const Outcome& outcome) {
  std::string text;
  for (char c : outcome.why) text += one_line(c) ? c : ' ';
  return text.substr(0, 160);
}

/// The manifest as the cases behave now: skips stay, reasons of cases that fail still are kept.
Manifest updated(const Manifest& old, const std::map<std::string, Outcome>& outcomes) {
  Manifest m;
  for (const auto& [name, outcome] : outcomes) {
    const auto it = old.cases.find(name);
    if (it != old.cases.end() && it->second.state == Expect::kSkip)
      m.cases[name] = it->second;
    else if (outcome.passed)
      m.cases[name] = {Expect::kPass, ""};
    else if (it != old.cases.end() && it->second.state == Expect::kXfail)
      m.cases[name] = it->second;
    else
      m.cases[name] = {Expect::kXfail, reason_of(outcome)};
    m.floor += m.cases[name].state == Expect::kPass;
  }
  return m;
}

TEST(Conformance, CasesDoWhatTheManifestSays) {
  const std::set<std::string> names = all_cases();
  if (names.empty())
    GTEST_SKIP() << "no cases in " << cases_folder() << "; install libonnx-testdata";
  const Manifest manifest = read_manifest(kManifest);
  std::map<std::string, Outcome> outcomes;
  for (const auto& name : names) {
    const auto it = manifest.cases.find(name);
    if (it != manifest.cases.end() && it->second.state == Expect::kSkip)
      outcomes[name] = {};
    else
      outcomes[name] = run_case(cases_folder() / name);
    EXPECT_FALSE(outcomes[name].broken) << name << ": " << outcomes[name].why;
  }
  if (std::getenv("ESPALIER_CONFORMANCE_UPDATE")) {
    write_manifest(kManifest, updated(manifest, outcomes));
    return;
  }
  int passed = 0;
  for (const auto& [name, outcome] : outcomes) {
    const auto it = manifest.cases.find(name);
    if (it == manifest.cases.end()) {
      ADD_FAILURE() << name << " is not listed in " << kManifest;
      continue;
    }
    passed += outcome.passed;
    if (it->second.state == Expect::kPass) {
      EXPECT_TRUE(outcome.passed) << name << ": " << outcome.why;
    } else if (it->second.state == Expect::kXfail) {
      EXPECT_FALSE(outcome.passed)
          << name << " passes: list it so. It was expected to fail: " << it->second.reason;
    }
  }
  for (const auto& [name, e] : manifest.cases)
    EXPECT_TRUE(names.contains(name)) << name << " is listed but is no case";
  EXPECT_GE(passed, manifest.floor);
}

}  // namespace
}  // namespace espalier::testing

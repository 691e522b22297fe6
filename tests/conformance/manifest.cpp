#include "tests/conformance/manifest.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace espalier::testing {

Manifest read_manifest(const std::string& path) {
  Manifest m;
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read");
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream in(line);
    std::string state, name;
    if (!(in >> state) || state[0] == '#') continue;
    const auto fail = [&](const std::string& what) {
      throw std::runtime_error(path + ":" + std::to_string(number) + ": " + what);
    };
    if (state == "floor") {
      if (!(in >> m.floor)) fail("a floor is a number");
      continue;
    }
    if (!(in >> name)) fail("names no case");
    Expectation e;
    std::getline(in >> std::ws, e.reason);
    if (state == "pass")
      e.state = Expect::kPass;
    else if (state == "xfail")
      e.state = Expect::kXfail;
    else if (state == "skip")
      e.state = Expect::kSkip;
    else
      fail("'" + state + "' is no state");
    if ((e.state == Expect::kPass) != e.reason.empty()) fail("a reason belongs to xfail and skip");
    if (!m.cases.emplace(name, e).second) fail(name + " is listed twice");
  }
  return m;
}

void write_manifest(const std::string& path, const Manifest& m) {
  std::ofstream file(path);
  file << "# What each of ONNX's own test cases does here: pass, xfail or skip with the reason.\n"
          "# After a change, write the states anew (reasons are kept):\n"
          "#   ESPALIER_CONFORMANCE_UPDATE=1 build/release/tests/test_conformance\n"
          "floor "
       << m.floor << "\n";
  for (const auto& [name, e] : m.cases) {
    if (e.state == Expect::kPass)
      file << "pass  " << name << "\n";
    else
      file << (e.state == Expect::kXfail ? "xfail " : "skip  ") << name << "  " << e.reason << "\n";
  }
}

}  // namespace espalier::testing

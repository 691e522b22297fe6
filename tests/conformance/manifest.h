// The manifest of conformance: what each of ONNX's own test cases is expected to do.
//
//   floor 610                        at least so many cases pass
//   pass  node/test_abs
//   xfail node/test_acos   no room for Acos
//   skip  node/test_x      why it cannot be run
#pragma once

#include <map>
#include <string>

namespace espalier::testing {

enum class Expect { kPass, kXfail, kSkip };

struct Expectation {
  Expect state = Expect::kPass;
  std::string reason;  ///< of xfail and skip
};

struct Manifest {
  int floor = 0;
  std::map<std::string, Expectation> cases;
};

/// Throws std::runtime_error naming a line that is not understood, or an xfail or skip without a
/// reason.
Manifest read_manifest(const std::string& path);
void write_manifest(const std::string& path, const Manifest& manifest);

}  // namespace espalier::testing

#include "tests/support/tree.h"

namespace espalier::testing {

const std::string& source_dir() {
  static const std::string dir = ESPALIER_SOURCE_DIR;
  return dir;
}

const std::string& build_dir() {
  static const std::string dir = ESPALIER_BUILD_DIR;
  return dir;
}

}  // namespace espalier::testing

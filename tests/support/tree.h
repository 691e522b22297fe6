// Where the tree that is tested lies, and what was built of it.
#pragma once

#include <string>

namespace espalier::testing {

/// Defined in one small file, so that objects of tests do not depend on where the tree lies and
/// compiler caches serve every clone.
const std::string& source_dir();
const std::string& build_dir();

}  // namespace espalier::testing

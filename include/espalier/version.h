// The version of the library that was linked.
#pragma once

namespace espalier {

/// "major.minor.patch"; semantic versioning, and before 1.0 a minor step may break the interface.
const char* version();

}  // namespace espalier

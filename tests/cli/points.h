// A task that a small network learns in a second: three clouds of points in the plane.
#pragma once

#include <string>

namespace espalier::testing {

/// 900 rows `a,b,label` with a head.
std::string points_table();
/// A network for them, as YAML: 2, 24 and 3 units.
std::string points_network();

}  // namespace espalier::testing

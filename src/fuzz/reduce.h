// Making a case that shows something smaller, while it shows the same.
#pragma once

#include <functional>

#include "fuzz/check.h"

namespace espalier::fuzz {

struct Reduction {
  Case smallest;
  int tried = 0;  ///< cases that were asked
};

/// Leaves out passes, outputs and nodes (what a node gave becomes an input), turns inputs into what
/// they read, and shrinks extents, as long as `still` holds. `c` must satisfy it. At most `most`
/// cases are asked.
Reduction reduced(const Case& c, const std::function<bool(const Case&)>& still, int most = 400);

/// Whether a check of the case finds what `finding` says: the same oracle, and a failure where it
/// was one, a difference where it was one.
bool finds_again(const Case& c, const Finding& finding, const Subject& subject,
                 const CheckOptions& options);

}  // namespace espalier::fuzz

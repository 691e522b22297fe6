// Edge coverage, where the libraries were built for it: by clang with
// -fsanitize-coverage=inline-8bit-counters. Elsewhere there is none, and events are what is known.
#pragma once

#include "fuzz/check.h"

namespace espalier::fuzz {

/// Edges taken from now on are new.
void forget_edges();
/// Adds each edge taken since, with how often, in powers of two.
void add_edges(Events& events);

}  // namespace espalier::fuzz

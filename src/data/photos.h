// Pictures of any size whose bytes cost about what those of photographs do: light that falls off,
// shapes with edges, texture of all scales, and the grain of a sensor. They show nothing.
#pragma once

#include <cstdint>

#include "formats/images.h"

namespace espalier {

/// A colour picture, a function of its arguments alone.
Image draw_photo(uint64_t seed, int64_t index, int width, int height);

}  // namespace espalier

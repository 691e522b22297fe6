// Tiles that stand one after the other, laid side by side.
#pragma once

#include <cstddef>

#include "tensor/shape.h"

namespace espalier::kernels {

/// x [N, spatial…, tile…, C] becomes y [N, spatial × tile…, C], of elements of `element` bytes: the
/// tile of every place in x takes that place's part of y. Extents of `spatial` and `tile` pair up.
void lay_tiles(int64_t batch, const Shape& spatial, const Shape& tile, int64_t channels,
               size_t element, const void* x, void* y);

}  // namespace espalier::kernels

// Pictures cut into a grid whose patches change places: what an object looked like is gone, its
// colours and textures are not (the transformation of Lee et al. 2024, arXiv:2403.07366).
#pragma once

#include "base/rng.h"
#include "data/dataset.h"

namespace espalier {

/// UserError unless `patches` x `patches` equal patches cover the pictures; `where` names whose.
void check_patches(const PictureShape& shape, int64_t patches, const std::string& where);

/// Writes the picture with its patches in another order to `out`, which must not overlap `in`. The
/// order is a function of `rng`; it may be that a patch stays.
void shuffle_patches(const PictureShape& shape, int64_t patches, const Rng& rng, const float* in,
                     float* out);

}  // namespace espalier

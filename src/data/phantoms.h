// synthetic:phantoms, volumes made here as a computed tomograph might show them, with a label for
// each voxel: 0 ground, 1 organ, 2 bone, 3 lesion.
//
// A body lies in air; in it organs, bones and cavities, and lesions inside organs, ellipsoids of
// any direction (as the head phantom of Shepp and Logan 1974 is made of ellipses). Densities vary
// from volume to volume, drift through it and are noisy. A lesion is as dense as the body around
// the organ that it lies in: its own voxels do not tell what it is.
//
// A volume is a function of (seed, split, index): any one can be drawn by itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/source.h"

namespace espalier {

/// Names of the labels, by number.
const std::vector<std::string>& phantom_names();

/// Writes a volume of size x size x size voxels, one byte each, and its labels. `split` is train or
/// test.
void draw_phantom(uint64_t seed, Split split, int64_t index, int64_t size, uint8_t* voxels,
                  int64_t* labels);

/// `train` and `test` volumes u8 [rows, 1, size, size, size], drawn in parallel.
RawData make_phantoms(uint64_t seed, int64_t size, int64_t train, int64_t test);
/// Those of a spec, from the cache where they are there.
RawData load_phantoms(const DataSpec& spec);

}  // namespace espalier

// Random changes to pictures during training, after normalisation (0 is the mean).
//
// What happens to a sample is a function of (seed, epoch, sample index), whatever thread or batch
// it falls into.
#pragma once

#include <cstdint>
#include <string>

#include "base/rng.h"
#include "data/dataset.h"

namespace espalier {

struct Augment {
  int64_t crop = 0;    ///< pixels of zeros around the picture before a random crop of its size
  int64_t shift = 0;   ///< largest shift along each axis; the edge is repeated
  int64_t cutout = 0;  ///< side of a square of zeros at a random place (DeVries & Taylor 2017)
  bool flip = false;   ///< left and right exchanged, every other time

  bool none() const { return crop == 0 && shift == 0 && cutout == 0 && !flip; }
  /// "crop=4,flip,cutout=8"; empty or "none" is none. Throws UserError(usage) for unknown words.
  static Augment parse(const std::string& text);
  std::string text() const;
};

/// The random numbers of one sample in one epoch.
Rng augment_rng(uint64_t seed, int64_t epoch, int64_t sample);

/// Writes the changed picture to `out`, which must not overlap `in`.
void augment_picture(const Augment& augment, const Rng& rng, const PictureShape& shape,
                     const float* in, float* out);

}  // namespace espalier

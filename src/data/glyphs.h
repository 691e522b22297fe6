// synthetic:glyphs, pictures made here: 20 classes of drawn signs, 32 x 32, in colour.
//
// A sign is a few strokes and arcs, distorted (affine and smoothly elastic), drawn with
// anti-aliasing in a random colour on a random background that is lighter or darker, with marks
// near the border and noise. No template matches: colours have no fixed polarity and strokes no
// fixed place. Classes differ in how strokes join, which no distortion used here changes.
//
// A picture is a function of (seed, split, index): any one can be drawn by itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/source.h"

namespace espalier {

inline constexpr int64_t kGlyphClasses = 20;
inline constexpr int64_t kGlyphSize = 32;
inline constexpr int64_t kGlyphChannels = 3;

const std::vector<std::string>& glyph_names();

/// Classes take turns.
inline int64_t glyph_label(int64_t index) { return index % kGlyphClasses; }

/// Writes [3, 32, 32] bytes. `split` is train or test.
void draw_glyph(uint64_t seed, Split split, int64_t index, uint8_t* pixels);

/// `train` and `test` pictures, drawn in parallel.
RawData make_glyphs(uint64_t seed, int64_t train, int64_t test);
/// Those of a spec, from the cache where they are there.
RawData load_glyphs(const DataSpec& spec);

}  // namespace espalier

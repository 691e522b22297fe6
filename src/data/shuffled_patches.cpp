#include "data/shuffled_patches.h"

#include <algorithm>

#include "base/error.h"

namespace espalier {

void check_patches(const PictureShape& shape, int64_t patches, const std::string& where) {
  if (shape.channels == 0) throw bad_input(where, "holds no pictures whose patches could be moved");
  if (patches >= 2 && shape.height % patches == 0 && shape.width % patches == 0) return;
  std::string fit;
  for (int64_t n = 2; n <= std::min(shape.height, shape.width); ++n)
    if (shape.height % n == 0 && shape.width % n == 0)
      fit += (fit.empty() ? "" : ", ") + std::to_string(n);
  throw bad_input(where,
                  "pictures of " + std::to_string(shape.height) + " x " +
                      std::to_string(shape.width) + " cannot be cut into " +
                      std::to_string(patches) + " x " + std::to_string(patches) + " equal patches",
                  fit.empty() ? "" : "patches may be " + fit);
}

void shuffle_patches(const PictureShape& shape, int64_t patches, const Rng& rng, const float* in,
                     float* out) {
  const std::vector<int64_t> from = rng.permutation(patches * patches);
  const int64_t h = shape.height / patches, w = shape.width / patches;
  const bool planes = shape.layout == PictureLayout::nchw;
  const int64_t count = planes ? shape.channels : 1, wide = planes ? 1 : shape.channels;
  const int64_t row = shape.width * wide;
  for (int64_t p = 0; p < patches * patches; ++p) {
    const int64_t to = p, source = from[size_t(p)];
    for (int64_t c = 0; c < count; ++c)
      for (int64_t y = 0; y < h; ++y) {
        const auto at = [&](int64_t patch) {
          return (c * shape.height + patch / patches * h + y) * row + patch % patches * w * wide;
        };
        std::copy_n(in + at(source), w * wide, out + at(to));
      }
  }
}

}  // namespace espalier

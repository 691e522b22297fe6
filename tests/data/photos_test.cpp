#include "data/photos.h"

#include <gtest/gtest.h>

namespace espalier {
namespace {

TEST(Photos, AreFunctionsOfTheirArguments) {
  const Image a = draw_photo(1, 2, 64, 48);
  EXPECT_EQ(a.width, 64);
  EXPECT_EQ(a.height, 48);
  EXPECT_EQ(a.channels, 3);
  EXPECT_EQ(a.pixels, draw_photo(1, 2, 64, 48).pixels);
  EXPECT_NE(a.pixels, draw_photo(1, 3, 64, 48).pixels);
  EXPECT_NE(a.pixels, draw_photo(2, 2, 64, 48).pixels);
  EXPECT_EQ(draw_photo(0, 0, 1, 1).pixels.size(), 3u);
}

/// Photographs take about 1 to 4 bits a pixel as JPEG of that quality, and half to all of their
/// samples as PNG.
TEST(Photos, CostAboutWhatPhotographsDo) {
  for (int64_t i = 0; i < 3; ++i) {
    const Image photo = draw_photo(5, i, 320, 240);
    const double pixels = 320 * 240;
    const double jpeg_bits = 8 * double(encode_jpeg(photo, 90).size()) / pixels;
    EXPECT_GT(jpeg_bits, 1) << i;
    EXPECT_LT(jpeg_bits, 4) << i;
    const double png_share = double(encode_png(photo).size()) / (3 * pixels);
    EXPECT_GT(png_share, 0.4) << i;
    EXPECT_LT(png_share, 1) << i;
  }
}

}  // namespace
}  // namespace espalier

// Pictures: PNG and JPEG in and out (libpng, libjpeg), bilinear resizing. What reads them only to
// make them smaller does so row by row: formats/picture_stream.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// Rows of interleaved 8-bit samples, top row first: pixels[(y * width + x) * channels + c].
struct Image {
  int width = 0, height = 0;
  int channels = 0;  ///< 1 grey or 3 red, green, blue
  std::vector<uint8_t> pixels;
};

/// Larger pictures are refused: their size fields are more likely damaged than meant.
inline constexpr uint64_t kMaxPixels = uint64_t{1} << 28;

/// Whether `bytes` begin like a PNG or JPEG file.
bool is_image(std::string_view bytes);

/// Decodes a PNG or JPEG, told apart by content. `channels` 1 or 3 converts, 0 keeps grey pictures
/// grey and gives colour otherwise. 16-bit samples keep their upper byte; transparency is dropped;
/// grey from colour is 0.299 R + 0.587 G + 0.114 B. Throws UserError naming `where` when the file
/// is damaged, truncated or has more than `most_pixels`.
Image decode_image(std::string_view bytes, const std::string& where, int channels = 0,
                   uint64_t most_pixels = kMaxPixels);

/// PNG bytes of a grey or colour picture.
std::string encode_png(const Image& image);

/// JPEG bytes of a grey or colour picture, colours at half resolution as the library has it;
/// `quality` 1 to 100.
std::string encode_jpeg(const Image& image, int quality = 90);

/// Bilinear interpolation with half-pixel centres, edges repeated, no filtering before shrinking.
Image resize_image(const Image& image, int width, int height);

/// The same picture with 1 or 3 channels.
Image convert_channels(Image image, int channels);

}  // namespace espalier

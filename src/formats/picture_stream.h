// Pictures as something smaller consumes them: decoded, converted and resized in one pass over the
// rows, of which no more than two are kept at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "formats/images.h"

namespace espalier {

/// How a picture is made smaller.
enum class Shrink {
  /// Bilinear between the two nearest samples of each axis, as resize_image does; what lies between
  /// them is not looked at.
  sample,
  /// First blocks of k x k pixels become their mean, k being the largest of 1, 2, 4, 8 that leaves
  /// the picture no smaller than wanted; then as above. JPEG pictures are decoded at 1/k of their
  /// size right away, which approximates the mean by the lower frequencies of each block.
  average,
};
/// UserError (usage) for a name that is neither `sample` nor `average`.
Shrink shrink_named(const std::string& name);

/// What a picture is to become.
struct PictureForm {
  int width = 0, height = 0;
  int channels = 3;  ///< 1 or 3
  Shrink shrink = Shrink::sample;
};

/// Where the time went, in seconds.
struct PictureSeconds {
  double decode = 0, resize = 0;
  double take = 0;  ///< in the receiver of the rows
};

/// Takes row `y` of the result, width * channels interleaved samples.
using TakeRow = std::function<void(int y, const uint8_t* row)>;

/// Gives the rows of the resized picture, top first. With Shrink::sample they are those of
///   resize_image(decode_image(bytes, where, channels, most_pixels), width, height)
/// to the bit. Returns the channels of the file, 1 or 3. Throws the same errors, some of them only
/// after rows were given; `where` and what follows are as for decode_image.
int stream_picture(std::string_view bytes, const std::string& where, const PictureForm& form,
                   uint64_t most_pixels, const TakeRow& take, PictureSeconds* spent = nullptr);

/// The same as a picture.
Image decode_resized(std::string_view bytes, const std::string& where, const PictureForm& form,
                     uint64_t most_pixels = kMaxPixels, int* file_channels = nullptr);

}  // namespace espalier

#include "formats/images.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/image_codecs.h"

namespace espalier {
namespace {

bool is_png(std::string_view bytes) { return bytes.starts_with("\x89PNG\r\n\x1a\n"); }
bool is_jpeg(std::string_view bytes) { return bytes.starts_with("\xff\xd8\xff"); }

}  // namespace

std::vector<Tap> resize_taps(int from, double extent, int to) {
  std::vector<Tap> result(static_cast<size_t>(to));
  const double step = extent / to;
  for (int i = 0; i < to; ++i) {
    const double x = std::clamp((i + 0.5) * step - 0.5, 0.0, double(from - 1));
    const int low = int(x);
    result[size_t(i)] = {low, std::min(low + 1, from - 1), float(x - low)};
  }
  return result;
}

void grey_of(const uint8_t* colour, int count, uint8_t* grey) {
  // Weights of 2^16 that sum to 2^16.
  for (int i = 0; i < count; ++i, colour += 3)
    grey[i] = uint8_t((19595u * colour[0] + 38470u * colour[1] + 7471u * colour[2] + 32768u) >> 16);
}

bool is_image(std::string_view bytes) { return is_png(bytes) || is_jpeg(bytes); }

std::unique_ptr<RowReader> open_rows(std::string_view bytes, const std::string& where,
                                     uint64_t most_pixels, LeastSize least) {
  if (is_png(bytes)) return open_png(bytes, where, most_pixels);
  if (is_jpeg(bytes)) return open_jpeg(bytes, where, most_pixels, least);
  throw bad_input(where, bytes.empty() ? "is empty" : "is neither a PNG nor a JPEG picture");
}

Image decode_image(std::string_view bytes, const std::string& where, int channels,
                   uint64_t most_pixels) {
  ESP_CHECK(channels == 0 || channels == 1 || channels == 3, "pictures have 1 or 3 channels");
  const auto reader = open_rows(bytes, where, most_pixels);
  Image image{reader->width(), reader->height(), reader->channels(), {}};
  const size_t stride = size_t(image.width) * size_t(image.channels);
  image.pixels.resize(stride * size_t(image.height));
  for (int y = 0; y < image.height; ++y) reader->read(image.pixels.data() + size_t(y) * stride);
  reader->finish();
  return channels == 0 ? image : convert_channels(std::move(image), channels);
}

Image convert_channels(Image image, int channels) {
  if (image.channels == channels) return image;
  Image out{image.width, image.height, channels, {}};
  const size_t count = size_t(image.width) * size_t(image.height);
  out.pixels.resize(count * size_t(channels));
  if (channels == 1) {
    grey_of(image.pixels.data(), int(count), out.pixels.data());
  } else {
    for (size_t i = 0; i < count; ++i) std::fill_n(&out.pixels[3 * i], 3, image.pixels[i]);
  }
  return out;
}

std::string encode_png(const Image& image) {
  ESP_CHECK(image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3) &&
                image.pixels.size() ==
                    size_t(image.width) * size_t(image.height) * size_t(image.channels),
            "a picture to encode has 1 or 3 channels and all its pixels");
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = png_uint_32(image.width);
  png.height = png_uint_32(image.height);
  png.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  ESP_CHECK(png_image_write_to_memory(&png, nullptr, &size, 0, image.pixels.data(), 0, nullptr),
            std::string("PNG encoder: ") + png.message);
  std::string bytes(size, '\0');
  ESP_CHECK(
      png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr),
      std::string("PNG encoder: ") + png.message);
  bytes.resize(size);
  return bytes;
}

Image resize_image(const Image& image, int width, int height) {
  ESP_CHECK(width > 0 && height > 0 && image.width > 0 && image.height > 0,
            "pictures have at least one pixel");
  if (image.width == width && image.height == height) return image;
  const auto columns = resize_taps(image.width, image.width, width),
             rows = resize_taps(image.height, image.height, height);
  const int channels = image.channels;
  Image out{width, height, channels, {}};
  out.pixels.reserve(size_t(width) * size_t(height) * size_t(channels));
  const auto at = [&](int y, int x, int c) {
    return float(
        image.pixels[(size_t(y) * size_t(image.width) + size_t(x)) * size_t(channels) + size_t(c)]);
  };
  for (const Tap& row : rows)
    for (const Tap& column : columns)
      for (int c = 0; c < channels; ++c) {
        const auto across = [&](int y) {
          const float low = at(y, column.low, c), high = at(y, column.high, c);
          return low + column.weight * (high - low);
        };
        const float top = across(row.low), bottom = across(row.high);
        out.pixels.push_back(uint8_t(std::lround(top + row.weight * (bottom - top))));
      }
  return out;
}

}  // namespace espalier

// One pass over the rows against decoding, converting and resizing one after the other.
#include "formats/picture_stream.h"

#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/rng.h"
#include "formats/image_codecs.h"
#include "tests/formats/malformed.h"

namespace espalier {
namespace {

/// Smooth light, edges and grain.
Image scene(int width, int height, int channels, double grain = 6) {
  Image image{width, height, channels, {}};
  const Rng rng(3, stream_of("scene"));
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c) {
        const uint64_t i = uint64_t((y * width + x) * channels + c);
        double v = 110 + 60 * std::sin(9.0 * x / width + c) + 40 * std::cos(7.0 * y / height);
        if ((x * 5 / width + y * 4 / height) % 3 == 0) v -= 50;
        image.pixels.push_back(uint8_t(std::clamp(v + grain * rng.normal(i), 0.0, 255.0)));
      }
  return image;
}

/// The same picture in seven passes.
std::string interlaced_png(const Image& image) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, png_size_t n) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(data), n);
      },
      nullptr);
  png_set_IHDR(png, info, png_uint_32(image.width), png_uint_32(image.height), 8,
               image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_bytep> rows;
  for (int y = 0; y < image.height; ++y)
    rows.push_back(const_cast<uint8_t*>(image.pixels.data()) +
                   size_t(y) * size_t(image.width) * size_t(image.channels));
  png_set_rows(png, info, rows.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

Image unfused(const std::string& bytes, int width, int height, int channels) {
  return resize_image(decode_image(bytes, "file", channels), width, height);
}

TEST(PictureStream, SamplesAsTheStepsOneByOneDo) {
  for (const int native : {1, 3})
    for (const auto& [w, h] : {std::pair{61, 47}, {224, 224}, {300, 17}, {16, 200}, {1, 1}}) {
      const Image image = scene(w, h, native);
      for (const std::string& bytes :
           {encode_png(image), encode_jpeg(image), interlaced_png(image)})
        for (const int channels : {1, 3})
          for (const auto& [to_w, to_h] :
               {std::pair{61, 47}, {32, 32}, {7, 90}, {97, 5}, {1, 1}, {224, 224}}) {
            int file_channels = 0;
            const Image fused =
                decode_resized(bytes, "file", {to_w, to_h, channels}, kMaxPixels, &file_channels);
            EXPECT_EQ(file_channels, native);
            ASSERT_EQ(fused.pixels, unfused(bytes, to_w, to_h, channels).pixels)
                << w << "x" << h << "x" << native << " to " << to_w << "x" << to_h << "x"
                << channels;
          }
    }
}

TEST(PictureStream, InterlacedPicturesDecodeAsPlainOnes) {
  const Image image = scene(37, 29, 3);
  EXPECT_EQ(decode_image(interlaced_png(image), "file").pixels, image.pixels);
}

/// Rounding goes as lround's: halves up, everything else to the nearest.
TEST(PictureStream, RoundsHalvesUp) {
  Image image{2, 1, 1, {0, 1}};
  EXPECT_EQ(decode_resized(encode_png(image), "file", {1, 1, 1}).pixels[0], 1);
  EXPECT_EQ(resize_image(image, 1, 1).pixels[0], 1);
}

TEST(PictureStream, GivesEachRowOnceFromTheTop) {
  const std::string bytes = encode_jpeg(scene(50, 40, 3));
  int next = 0;
  PictureSeconds spent;
  stream_picture(
      bytes, "file", {8, 11, 3}, kMaxPixels, [&](int y, const uint8_t*) { EXPECT_EQ(y, next++); },
      &spent);
  EXPECT_EQ(next, 11);
  EXPECT_GT(spent.decode, 0);
  EXPECT_GT(spent.resize, 0);
  EXPECT_GT(spent.take, 0);
}

/// Means of k x k pixels, fewer at the right and lower edge.
Image block_means(const Image& in, int k) {
  Image small{(in.width + k - 1) / k, (in.height + k - 1) / k, in.channels, {}};
  for (int y = 0; y < small.height; ++y)
    for (int x = 0; x < small.width; ++x)
      for (int c = 0; c < in.channels; ++c) {
        int sum = 0, count = 0;
        for (int v = y * k; v < std::min((y + 1) * k, in.height); ++v)
          for (int u = x * k; u < std::min((x + 1) * k, in.width); ++u, ++count)
            sum += in.pixels[size_t((v * in.width + u) * in.channels + c)];
        small.pixels.push_back(uint8_t((sum + count / 2) / count));
      }
  return small;
}

TEST(PictureStream, AveragesBlocksOfPng) {
  const Image image = scene(128, 96, 3, 40);
  for (const auto& [k, w, h] :
       {std::tuple{1, 100, 90}, {2, 64, 48}, {2, 40, 30}, {4, 32, 24}, {8, 16, 12}, {8, 5, 3}}) {
    const Image fused = decode_resized(encode_png(image), "file", {w, h, 3, Shrink::average});
    EXPECT_EQ(fused.pixels, resize_image(block_means(image, k), w, h).pixels) << k;
  }
}

/// Where extents are no multiple of the block the last mean stands for fewer pixels, and the others
/// stay in their place.
TEST(PictureStream, BlocksAtTheEdgeShiftNothing) {
  Image ramp{131, 4, 1, {}};
  for (int i = 0; i < 131 * 4; ++i) ramp.pixels.push_back(uint8_t(i % 131));
  const Image fused = decode_resized(encode_png(ramp), "file", {30, 1, 1, Shrink::average});
  for (int x = 1; x < 29; ++x)
    EXPECT_NEAR(fused.pixels[size_t(x)], (x + 0.5) * 131 / 30 - 0.5, 1) << x;
}

double mean_difference(const Image& a, const Image& b) {
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i)
    sum += std::abs(double(a.pixels[i]) - double(b.pixels[i]));
  return sum / double(a.pixels.size());
}

/// docs/serving.md states this tolerance: 2 levels of 255 in the mean.
TEST(PictureStream, JpegsAtAFractionAreNearTheMeans) {
  for (const auto& [w, h] : {std::pair{640, 480}, {333, 217}, {1000, 700}}) {
    const std::string jpeg = encode_jpeg(scene(w, h, 3));
    const std::string plain = encode_png(decode_image(jpeg, "file"));
    for (const auto& [to_w, to_h] : {std::pair{160, 120}, {100, 100}, {64, 64}, {40, 24}}) {
      const PictureForm form{to_w, to_h, 3, Shrink::average};
      const Image scaled = decode_resized(jpeg, "file", form);
      const Image exact = decode_resized(plain, "file", form);
      EXPECT_LE(mean_difference(scaled, exact), 2) << w << "x" << h << " to " << to_w;
    }
  }
}

/// What sampling makes of grain is grain; the mean is what the picture shows.
TEST(PictureStream, AverageIsQuieterThanSample) {
  const std::string noisy = encode_png(scene(640, 480, 3, 40));
  const Image clean =
      decode_resized(encode_png(scene(640, 480, 3, 0)), "file", {64, 48, 3, Shrink::average});
  const Image sample = decode_resized(noisy, "file", {64, 48, 3, Shrink::sample});
  const Image average = decode_resized(noisy, "file", {64, 48, 3, Shrink::average});
  EXPECT_LT(4 * mean_difference(average, clean), mean_difference(sample, clean));
}

TEST(PictureStream, EnlargingAsksForNoLess) {
  const std::string jpeg = encode_jpeg(scene(40, 30, 3));
  EXPECT_EQ(decode_resized(jpeg, "file", {64, 64, 3, Shrink::average}).pixels,
            decode_resized(jpeg, "file", {64, 64, 3, Shrink::sample}).pixels);
  // One axis that would become too small is enough.
  EXPECT_EQ(decode_resized(jpeg, "file", {10, 30, 3, Shrink::average}).pixels,
            decode_resized(jpeg, "file", {10, 30, 3, Shrink::sample}).pixels);
}

TEST(PictureStream, DamageIsAnErrorWhereverItIs) {
  const auto fused = [](const std::string& bytes) {
    decode_resized(bytes, "file", {3, 2, 3});
    decode_resized(bytes, "file", {3, 2, 3, Shrink::average});
  };
  const Image image = scene(29, 23, 3);
  for (const std::string& bytes : {encode_png(image), encode_jpeg(image), interlaced_png(image)}) {
    expect_truncation_refused(bytes, fused);
    expect_damage_survived(bytes, fused, 1500);
  }
  EXPECT_EQ(user_error([&] {
              decode_resized("GIF89a", "file", {3, 2, 3});
            }),
            "file: is neither a PNG nor a JPEG picture");
  EXPECT_EQ(user_error([&] {
              decode_resized(encode_png(image), "file", {3, 2, 3}, 100);
            }),
            "file: has more than 100 pixels");
  // The pixels of the file count, not those that are left of it.
  EXPECT_EQ(
      user_error([&] {
        decode_resized(encode_jpeg(scene(64, 64, 3)), "file", {8, 8, 3, Shrink::average}, 4095);
      }),
      "file: has more than 4095 pixels");
}

TEST(PictureStream, WaysToShrinkHaveNames) {
  EXPECT_EQ(shrink_named("sample"), Shrink::sample);
  EXPECT_EQ(shrink_named("average"), Shrink::average);
  EXPECT_EQ(user_error([] { shrink_named("box"); }), "shrink=box: is not one of sample, average");
}

TEST(LeastSize, DividesAsFarAsItMay) {
  const LeastSize least{224, 224};
  EXPECT_EQ(least.divisor(224, 224), 1);
  EXPECT_EQ(least.divisor(447, 448), 1);
  EXPECT_EQ(least.divisor(448, 448), 2);
  EXPECT_EQ(least.divisor(1280, 960), 4);
  EXPECT_EQ(least.divisor(8000, 8000), 8);
  EXPECT_EQ(LeastSize{}.divisor(8000, 8000), 1);
}

TEST(Jpeg, EncoderAndDecoderAgree) {
  for (const int channels : {1, 3}) {
    const Image image = scene(75, 53, channels, 0);
    const Image back = decode_image(encode_jpeg(image, 95), "file");
    ASSERT_EQ(back.channels, channels);
    EXPECT_LE(mean_difference(back, image), 4);
    EXPECT_LT(encode_jpeg(image, 30).size(), encode_jpeg(image, 95).size());
  }
}

}  // namespace
}  // namespace espalier

#include "formats/images.h"

#include <gtest/gtest.h>
#include <jpeglib.h>
#include <png.h>

#include <cstdlib>

#include "formats/gzip.h"
#include "tests/formats/malformed.h"

namespace espalier {
namespace {

Image picture(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        image.pixels.push_back(uint8_t(40 * c + 100 * x / width + 50 * y / height));
  return image;
}

std::string jpeg_of(const Image& image, J_COLOR_SPACE space) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &out, &size);
  jpeg.image_width = JDIMENSION(image.width);
  jpeg.image_height = JDIMENSION(image.height);
  jpeg.input_components = image.channels;
  jpeg.in_color_space = space;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 95, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    auto* row = const_cast<uint8_t*>(
        &image.pixels[jpeg.next_scanline * size_t(image.width) * size_t(image.channels)]);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::string bytes(reinterpret_cast<char*>(out), size);
  jpeg_destroy_compress(&jpeg);
  std::free(out);
  return bytes;
}

std::string png_of(int format, const void* pixels, int width, int height,
                   const void* palette = nullptr, int colors = 0) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = png_uint_32(width);
  png.height = png_uint_32(height);
  png.format = png_uint_32(format);
  png.colormap_entries = png_uint_32(colors);
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&png, nullptr, &size, 0, pixels, 0, palette);
  std::string bytes(size, '\0');
  EXPECT_TRUE(png_image_write_to_memory(&png, bytes.data(), &size, 0, pixels, 0, palette));
  bytes.resize(size);
  return bytes;
}

void decode(const std::string& bytes) { decode_image(bytes, "file"); }

TEST(Png, GreyAndColourRoundTrip) {
  for (int channels : {1, 3}) {
    const Image image = picture(13, 7, channels);
    const Image back = decode_image(encode_png(image), "file");
    EXPECT_EQ(back.width, 13);
    EXPECT_EQ(back.height, 7);
    EXPECT_EQ(back.channels, channels);
    EXPECT_EQ(back.pixels, image.pixels);
  }
}

TEST(Png, OtherFormsBecomeGreyOrColour) {
  const uint8_t rgba[] = {10, 20, 30, 255, 40, 50, 60, 255};
  EXPECT_EQ(decode_image(png_of(PNG_FORMAT_RGBA, rgba, 2, 1), "file").pixels,
            (std::vector<uint8_t>{10, 20, 30, 40, 50, 60}));
  const uint8_t palette[] = {1, 2, 3, 101, 102, 103}, indices[] = {1, 0};
  EXPECT_EQ(decode_image(png_of(PNG_FORMAT_RGB_COLORMAP, indices, 2, 1, palette, 2), "file").pixels,
            (std::vector<uint8_t>{101, 102, 103, 1, 2, 3}));
  const uint16_t wide[] = {0xFFFF, 0x0000};
  EXPECT_EQ(decode_image(png_of(PNG_FORMAT_LINEAR_Y, wide, 2, 1), "file").pixels,
            (std::vector<uint8_t>{255, 0}));
}

TEST(Jpeg, DecodesCloseToTheOriginal) {
  for (const auto& [channels, space] : {std::pair{1, JCS_GRAYSCALE}, std::pair{3, JCS_RGB}}) {
    const Image image = picture(24, 16, channels);
    const Image back = decode_image(jpeg_of(image, space), "file");
    ASSERT_EQ(back.channels, channels);
    ASSERT_EQ(back.pixels.size(), image.pixels.size());
    for (size_t i = 0; i < image.pixels.size(); ++i)
      ASSERT_NEAR(back.pixels[i], image.pixels[i], 12);
  }
}

TEST(Jpeg, FourInksBecomeColour) {
  Image inks{8, 8, 4, {}};
  for (int i = 0; i < 64; ++i) inks.pixels.insert(inks.pixels.end(), {255, 0, 255, 255});
  const Image back = decode_image(jpeg_of(inks, JCS_CMYK), "file");
  ASSERT_EQ(back.channels, 3);
  EXPECT_NEAR(back.pixels[0], 255, 4);
  EXPECT_NEAR(back.pixels[1], 0, 4);
  EXPECT_NEAR(back.pixels[2], 255, 4);
}

TEST(Images, TruncationAtEveryByteIsAnError) {
  expect_truncation_refused(encode_png(picture(9, 5, 3)), decode);
  expect_truncation_refused(jpeg_of(picture(9, 5, 3), JCS_RGB), decode);
  expect_truncation_refused(jpeg_of(picture(40, 30, 1), JCS_GRAYSCALE), decode);
}

TEST(Images, DamageIsSurvived) {
  expect_damage_survived(encode_png(picture(9, 5, 3)), decode, 4000);
  expect_damage_survived(jpeg_of(picture(20, 10, 3), JCS_RGB), decode, 1000);
}

TEST(Images, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(user_error([] { decode("GIF89a"); }), "file: is neither a PNG nor a JPEG picture");
  EXPECT_EQ(user_error([] { decode(""); }), "file: is empty");
  const std::string png = encode_png(picture(9, 5, 3));
  EXPECT_EQ(user_error([&] { decode(png.substr(0, 40)); }),
            "file: is a damaged PNG picture: it ends too early");
  const std::string jpeg = jpeg_of(picture(20, 10, 3), JCS_RGB);
  EXPECT_EQ(user_error([&] { decode(jpeg.substr(0, jpeg.size() - 2)); }),
            "file: is a damaged JPEG picture: Premature end of JPEG file");
}

TEST(Images, ClaimedSizesAreNotBelieved) {
  std::string png = encode_png(picture(9, 5, 3));
  // 60000 x 60000 with a right checksum over the header chunk.
  const char extent[] = {'\0', '\0', '\xEA', '\x60'};
  png.replace(16, 4, extent, 4).replace(20, 4, extent, 4);
  const uint32_t sum = crc32_of(std::string_view(png).substr(12, 17));
  for (size_t i = 0; i < 4; ++i) png[29 + i] = char(sum >> (24 - 8 * i));
  EXPECT_EQ(user_error([&] { decode(png); }), "file: has more than 268435456 pixels");
}

TEST(Images, LargerPicturesThanAskedForAreRefused) {
  for (const std::string& bytes :
       {encode_png(picture(9, 5, 3)), jpeg_of(picture(9, 5, 3), JCS_RGB)}) {
    EXPECT_EQ(decode_image(bytes, "file", 3, 45).width, 9);
    EXPECT_EQ(user_error([&] { decode_image(bytes, "file", 3, 44); }),
              "file: has more than 44 pixels");
  }
}

TEST(Images, ChannelsConvert) {
  const Image grey = convert_channels(Image{1, 1, 3, {255, 0, 0}}, 1);
  EXPECT_EQ(grey.pixels, (std::vector<uint8_t>{76}));
  EXPECT_EQ(convert_channels(Image{1, 1, 3, {255, 255, 255}}, 1).pixels[0], 255);
  EXPECT_EQ(convert_channels(grey, 3).pixels, (std::vector<uint8_t>{76, 76, 76}));
  EXPECT_EQ(decode_image(encode_png(picture(3, 3, 1)), "file", 3).channels, 3);
}

TEST(Images, ResizeUsesHalfPixelCentres) {
  const Image two{2, 1, 1, {0, 100}};
  EXPECT_EQ(resize_image(two, 4, 1).pixels, (std::vector<uint8_t>{0, 25, 75, 100}));
  EXPECT_EQ(resize_image(Image{4, 1, 1, {0, 10, 20, 30}}, 2, 1).pixels,
            (std::vector<uint8_t>{5, 25}));
  const Image image = picture(7, 5, 3);
  EXPECT_EQ(resize_image(image, 7, 5).pixels, image.pixels);
  const Image tall = resize_image(image, 3, 11);
  EXPECT_EQ(tall.pixels.size(), 3u * 11 * 3);
}

}  // namespace
}  // namespace espalier

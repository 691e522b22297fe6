#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// jpeglib.h needs size_t and FILE declared before it.
#include <jpeglib.h>

#include "base/error.h"
#include "formats/images.h"

namespace espalier {
namespace {

/// Everything the C side touches; no member has a destructor.
struct Encoder {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  std::jmp_buf on_error;
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  char message[JMSG_LENGTH_MAX] = "";
};

void fail(j_common_ptr common) {
  auto* encoder = static_cast<Encoder*>(common->client_data);
  common->err->format_message(common, encoder->message);
  std::longjmp(encoder->on_error, 1);
}

bool encode(Encoder& e, const Image& image, int quality) {
  e.jpeg.err = jpeg_std_error(&e.errors);
  e.errors.error_exit = fail;
  e.jpeg.client_data = &e;
  if (setjmp(e.on_error)) return false;
  jpeg_create_compress(&e.jpeg);
  jpeg_mem_dest(&e.jpeg, &e.bytes, &e.size);
  e.jpeg.image_width = JDIMENSION(image.width);
  e.jpeg.image_height = JDIMENSION(image.height);
  e.jpeg.input_components = image.channels;
  e.jpeg.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&e.jpeg);
  jpeg_set_quality(&e.jpeg, quality, TRUE);
  jpeg_start_compress(&e.jpeg, TRUE);
  const size_t stride = size_t(image.width) * size_t(image.channels);
  while (e.jpeg.next_scanline < e.jpeg.image_height) {
    auto* row = const_cast<uint8_t*>(image.pixels.data()) + e.jpeg.next_scanline * stride;
    jpeg_write_scanlines(&e.jpeg, &row, 1);
  }
  jpeg_finish_compress(&e.jpeg);
  return true;
}

}  // namespace

std::string encode_jpeg(const Image& image, int quality) {
  ESP_CHECK(image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3) &&
                image.pixels.size() ==
                    size_t(image.width) * size_t(image.height) * size_t(image.channels),
            "a picture to encode has 1 or 3 channels and all its pixels");
  ESP_CHECK(image.width <= JPEG_MAX_DIMENSION && image.height <= JPEG_MAX_DIMENSION,
            "JPEG pictures have at most 65500 pixels a side");
  ESP_CHECK(quality >= 1 && quality <= 100, "JPEG quality is 1 to 100");
  Encoder encoder;
  std::memset(&encoder.jpeg, 0, sizeof encoder.jpeg);
  struct Guard {
    Encoder& e;
    ~Guard() {
      jpeg_destroy_compress(&e.jpeg);
      std::free(e.bytes);
    }
  } guard{encoder};
  ESP_CHECK(encode(encoder, image, quality), std::string("JPEG encoder: ") + encoder.message);
  return {reinterpret_cast<const char*>(encoder.bytes), encoder.size};
}

}  // namespace espalier

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "formats/image_codecs.h"

namespace espalier {
namespace {

/// Everything the C side touches; no member has a destructor.
struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const char* data = nullptr;
  size_t left = 0;
  uint64_t most_pixels = 0;
  bool too_large = false;
  std::jmp_buf on_error;
  char message[160] = "";
};

void fail(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->message, sizeof decoder->message, "%s", message);
  std::longjmp(decoder->on_error, 1);
}
void ignore(png_structp, png_const_charp) {}

void supply(png_structp png, png_bytep out, png_size_t n) {
  auto* decoder = static_cast<Decoder*>(png_get_io_ptr(png));
  if (n > decoder->left) png_error(png, "it ends too early");
  std::memcpy(out, decoder->data, n);
  decoder->data += n;
  decoder->left -= n;
}

/// Reads up to the pixels and asks for 8-bit grey or colour.
bool read_header(Decoder& d) {
  if (setjmp(d.on_error)) return false;
  png_set_read_fn(d.png, &d, supply);
  png_read_info(d.png, d.info);
  const int color = png_get_color_type(d.png, d.info);
  d.too_large = uint64_t{png_get_image_width(d.png, d.info)} * png_get_image_height(d.png, d.info) >
                d.most_pixels;
  if (d.too_large) return false;
  png_set_strip_16(d.png);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(d.png);
  if (color == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(d.png);
  // Makes a tRNS chunk an alpha channel, so that stripping below removes it on every colour type.
  if (png_get_valid(d.png, d.info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(d.png);
  png_set_strip_alpha(d.png);
  png_set_interlace_handling(d.png);
  png_read_update_info(d.png, d.info);
  return true;
}

bool read_pixels(Decoder& d, png_bytepp rows) {
  if (setjmp(d.on_error)) return false;
  png_read_image(d.png, rows);
  png_read_end(d.png, nullptr);
  return true;
}

}  // namespace

Image decode_png(std::string_view bytes, const std::string& where, uint64_t most_pixels) {
  Decoder decoder;
  struct Guard {
    Decoder& d;
    ~Guard() { png_destroy_read_struct(&d.png, d.info ? &d.info : nullptr, nullptr); }
  } guard{decoder};
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, fail, ignore);
  ESP_CHECK(decoder.png, "the PNG library has another version than its header");
  decoder.info = png_create_info_struct(decoder.png);
  ESP_CHECK(decoder.info, "the PNG library refuses to start");
  decoder.data = bytes.data();
  decoder.left = bytes.size();
  decoder.most_pixels = most_pixels;
  const auto damaged = [&] {
    if (decoder.too_large) return too_large(where, most_pixels);
    return bad_input(where, std::string("is a damaged PNG picture: ") + decoder.message);
  };
  if (!read_header(decoder)) throw damaged();
  Image image{int(png_get_image_width(decoder.png, decoder.info)),
              int(png_get_image_height(decoder.png, decoder.info)),
              int(png_get_channels(decoder.png, decoder.info)),
              {}};
  ESP_CHECK(image.channels == 1 || image.channels == 3, "PNG transforms leave grey or colour");
  const size_t stride = png_get_rowbytes(decoder.png, decoder.info);
  image.pixels.resize(stride * size_t(image.height));
  std::vector<png_bytep> rows(static_cast<size_t>(image.height));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = image.pixels.data() + y * stride;
  if (!read_pixels(decoder, rows.data())) throw damaged();
  return image;
}

}  // namespace espalier

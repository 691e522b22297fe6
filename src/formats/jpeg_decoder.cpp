#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>

// jpeglib.h needs size_t and FILE declared before it.
#include <jerror.h>
#include <jpeglib.h>

#include "base/error.h"
#include "formats/image_codecs.h"

namespace espalier {
namespace {

/// Everything the C side touches; no member has a destructor.
struct Decoder {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  std::jmp_buf on_error;
  uint64_t most_pixels = 0;
  bool too_large = false;
  char message[JMSG_LENGTH_MAX] = "";
};

void fail(j_common_ptr common) {
  auto* decoder = static_cast<Decoder*>(common->client_data);
  common->err->format_message(common, decoder->message);
  std::longjmp(decoder->on_error, 1);
}

/// The library repairs damage silently where it can: grey pixels for missing data. A picture that
/// needs repair is refused, except for deviations that leave all pixels intact.
void warn(j_common_ptr common, int level) {
  if (level >= 0) return;  // a trace message
  const int code = common->err->msg_code;
  if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM) return;
  fail(common);
}

bool create(Decoder& d) {
  d.jpeg.err = jpeg_std_error(&d.errors);
  d.errors.error_exit = fail;
  d.errors.emit_message = warn;
  d.jpeg.client_data = &d;
  if (setjmp(d.on_error)) return false;
  jpeg_create_decompress(&d.jpeg);
  return true;
}

/// Reads up to the pixels. CMYK stays as it is, everything else becomes grey or RGB.
bool read_header(Decoder& d, const unsigned char* data, unsigned long size) {
  if (setjmp(d.on_error)) return false;
  jpeg_mem_src(&d.jpeg, data, size);
  jpeg_read_header(&d.jpeg, TRUE);
  d.too_large = uint64_t{d.jpeg.image_width} * d.jpeg.image_height > d.most_pixels;
  if (d.too_large) return false;
  const bool four = d.jpeg.jpeg_color_space == JCS_CMYK || d.jpeg.jpeg_color_space == JCS_YCCK;
  d.jpeg.out_color_space = four                                       ? JCS_CMYK
                           : d.jpeg.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE
                                                                      : JCS_RGB;
  d.jpeg.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&d.jpeg);
  return true;
}

bool read_pixels(Decoder& d, unsigned char* pixels, size_t stride) {
  if (setjmp(d.on_error)) return false;
  while (d.jpeg.output_scanline < d.jpeg.output_height) {
    JSAMPROW row = pixels + d.jpeg.output_scanline * stride;
    jpeg_read_scanlines(&d.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&d.jpeg);
  return true;
}

/// Four inks to three lights. Adobe writes inks inverted, and so does everyone after Adobe.
Image cmyk_to_rgb(Image image, bool inverted) {
  const size_t count = size_t(image.width) * size_t(image.height);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* in = &image.pixels[4 * i];
    const unsigned k = inverted ? in[3] : 255u - in[3];
    for (size_t c = 0; c < 3; ++c) {
      const unsigned light = inverted ? in[c] : 255u - in[c];
      image.pixels[3 * i + c] = uint8_t((light * k + 127) / 255);
    }
  }
  image.channels = 3;
  image.pixels.resize(3 * count);
  return image;
}

}  // namespace

Image decode_jpeg(std::string_view bytes, const std::string& where, uint64_t most_pixels) {
  Decoder decoder;
  std::memset(&decoder.jpeg, 0, sizeof decoder.jpeg);
  decoder.most_pixels = most_pixels;
  ESP_CHECK(create(decoder), "the JPEG library has another version than its header");
  struct Guard {
    Decoder& d;
    ~Guard() { jpeg_destroy_decompress(&d.jpeg); }
  } guard{decoder};
  const auto damaged = [&] {
    if (decoder.too_large) return too_large(where, most_pixels);
    return bad_input(where, std::string("is a damaged JPEG picture: ") + decoder.message);
  };
  if (!read_header(decoder, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()))
    throw damaged();
  Image image{int(decoder.jpeg.output_width),
              int(decoder.jpeg.output_height),
              decoder.jpeg.output_components,
              {}};
  const size_t stride = size_t(image.width) * size_t(image.channels);
  image.pixels.resize(stride * size_t(image.height));
  if (!read_pixels(decoder, image.pixels.data(), stride)) throw damaged();
  if (image.channels == 4) return cmyk_to_rgb(std::move(image), decoder.jpeg.saw_Adobe_marker);
  return image;
}

}  // namespace espalier

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

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
bool read_header(Decoder& d, const unsigned char* data, unsigned long size, LeastSize least) {
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
  d.jpeg.scale_num = 1;
  d.jpeg.scale_denom = unsigned(least.divisor(int(d.jpeg.image_width), int(d.jpeg.image_height)));
  jpeg_start_decompress(&d.jpeg);
  return true;
}

bool read_row(Decoder& d, unsigned char* row) {
  if (setjmp(d.on_error)) return false;
  jpeg_read_scanlines(&d.jpeg, &row, 1);
  return true;
}

bool finish_file(Decoder& d) {
  if (setjmp(d.on_error)) return false;
  jpeg_finish_decompress(&d.jpeg);
  return true;
}

/// Four inks to three lights. Adobe writes inks inverted, and so does everyone after Adobe.
void cmyk_to_rgb(const uint8_t* inks, int count, bool inverted, uint8_t* lights) {
  for (int i = 0; i < count; ++i, inks += 4) {
    const unsigned k = inverted ? inks[3] : 255u - inks[3];
    for (int c = 0; c < 3; ++c) {
      const unsigned light = inverted ? inks[c] : 255u - inks[c];
      *lights++ = uint8_t((light * k + 127) / 255);
    }
  }
}

class JpegRows : public RowReader {
 public:
  JpegRows(std::string_view bytes, std::string where, uint64_t most_pixels, LeastSize least)
      : where_(std::move(where)) {
    Decoder& d = decoder_.d;
    std::memset(&d.jpeg, 0, sizeof d.jpeg);
    d.most_pixels = most_pixels;
    ESP_CHECK(create(d), "the JPEG library has another version than its header");
    if (!read_header(d, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), least))
      throw damaged();
    width_ = int(d.jpeg.output_width);
    height_ = int(d.jpeg.output_height);
    file_width_ = int(d.jpeg.image_width);
    file_height_ = int(d.jpeg.image_height);
    divisor_ = int(d.jpeg.scale_denom);
    channels_ = d.jpeg.output_components == 1 ? 1 : 3;
    if (d.jpeg.output_components == 4) inks_.resize(4 * size_t(width_));
  }

  void read(uint8_t* row) override {
    if (!read_row(decoder_.d, inks_.empty() ? row : inks_.data())) throw damaged();
    if (!inks_.empty()) cmyk_to_rgb(inks_.data(), width_, decoder_.d.jpeg.saw_Adobe_marker, row);
  }
  void finish() override {
    if (!finish_file(decoder_.d)) throw damaged();
  }

 private:
  struct Owned {
    Decoder d;
    ~Owned() { jpeg_destroy_decompress(&d.jpeg); }
  };

  UserError damaged() const {
    if (decoder_.d.too_large) return too_many_pixels(where_, decoder_.d.most_pixels);
    return bad_input(where_, std::string("is a damaged JPEG picture: ") + decoder_.d.message);
  }

  const std::string where_;
  Owned decoder_;
  std::vector<uint8_t> inks_;  // of a row, where there are four
};

}  // namespace

std::unique_ptr<RowReader> open_jpeg(std::string_view bytes, const std::string& where,
                                     uint64_t most_pixels, LeastSize least) {
  return std::make_unique<JpegRows>(bytes, where, most_pixels, least);
}

}  // namespace espalier

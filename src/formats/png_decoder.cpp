#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

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

bool read_row(Decoder& d, png_bytep row) {
  if (setjmp(d.on_error)) return false;
  png_read_row(d.png, row, nullptr);
  return true;
}

/// Interlaced pictures come as several passes over all rows.
bool read_all(Decoder& d, png_bytepp rows) {
  if (setjmp(d.on_error)) return false;
  png_read_image(d.png, rows);
  return true;
}

bool finish_file(Decoder& d) {
  if (setjmp(d.on_error)) return false;
  png_read_end(d.png, nullptr);
  return true;
}

class PngRows : public RowReader {
 public:
  PngRows(std::string_view bytes, std::string where, uint64_t most_pixels)
      : where_(std::move(where)) {
    Decoder& d = decoder_.d;
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, fail, ignore);
    ESP_CHECK(d.png, "the PNG library has another version than its header");
    d.info = png_create_info_struct(d.png);
    ESP_CHECK(d.info, "the PNG library refuses to start");
    d.data = bytes.data();
    d.left = bytes.size();
    d.most_pixels = most_pixels;
    if (!read_header(d)) throw damaged();
    width_ = file_width_ = int(png_get_image_width(d.png, d.info));
    height_ = file_height_ = int(png_get_image_height(d.png, d.info));
    channels_ = int(png_get_channels(d.png, d.info));
    ESP_CHECK(channels_ == 1 || channels_ == 3, "PNG transforms leave grey or colour");
    ESP_CHECK(png_get_rowbytes(d.png, d.info) == stride(), "PNG rows are 8-bit samples");
    if (png_get_interlace_type(d.png, d.info) != PNG_INTERLACE_NONE) decode_whole();
  }

  void read(uint8_t* row) override {
    if (whole_.empty()) {
      if (!read_row(decoder_.d, row)) throw damaged();
      return;
    }
    std::memcpy(row, whole_.data() + stride() * size_t(next_++), stride());
  }
  void finish() override {
    if (!finish_file(decoder_.d)) throw damaged();
  }

 private:
  struct Owned {
    Decoder d;
    ~Owned() { png_destroy_read_struct(&d.png, d.info ? &d.info : nullptr, nullptr); }
  };

  size_t stride() const { return size_t(width_) * size_t(channels_); }
  UserError damaged() const {
    if (decoder_.d.too_large) return too_many_pixels(where_, decoder_.d.most_pixels);
    return bad_input(where_, std::string("is a damaged PNG picture: ") + decoder_.d.message);
  }
  void decode_whole() {
    whole_.resize(stride() * size_t(height_));
    std::vector<png_bytep> rows(static_cast<size_t>(height_));
    for (size_t y = 0; y < rows.size(); ++y) rows[y] = whole_.data() + y * stride();
    if (!read_all(decoder_.d, rows.data())) throw damaged();
  }

  const std::string where_;
  Owned decoder_;
  std::vector<uint8_t> whole_;  // of an interlaced picture
  int next_ = 0;
};

}  // namespace

std::unique_ptr<RowReader> open_png(std::string_view bytes, const std::string& where,
                                    uint64_t most_pixels) {
  return std::make_unique<PngRows>(bytes, where, most_pixels);
}

}  // namespace espalier

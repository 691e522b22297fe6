// The two picture decoders behind formats/images.h, row by row.
//
// Both libraries report errors by longjmp. It is only ever taken across frames of plain C data: the
// functions that call setjmp hold nothing with a destructor, their callers own the memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace espalier {

/// A picture whose rows are decoded one after another, top first.
class RowReader {
 public:
  virtual ~RowReader() = default;
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  int width() const { return width_; }
  int height() const { return height_; }
  int channels() const { return channels_; }  ///< 1 grey or 3 red, green, blue
  /// How many pixels of the file each way became one; 1 unless it was asked for less.
  int divisor() const { return divisor_; }
  /// Extents of the picture as the file has it.
  int file_width() const { return file_width_; }
  int file_height() const { return file_height_; }
  /// Writes the next row, width * channels samples. UserError for damage; not to be called more
  /// than `height` times.
  virtual void read(uint8_t* row) = 0;
  /// After the last row: UserError where the file ends too early.
  virtual void finish() = 0;

 protected:
  RowReader() = default;
  int width_ = 0, height_ = 0, channels_ = 0, divisor_ = 1;
  int file_width_ = 0, file_height_ = 0;
};

/// The size below which no reader goes of its own accord; 0: the size of the file.
struct LeastSize {
  int width = 0, height = 0;

  /// The largest of 8, 4, 2 and 1 by which these extents may be divided.
  int divisor(int from_width, int from_height) const {
    if (width <= 0 || height <= 0) return 1;
    int k = 8;
    while (k > 1 && (from_width / k < width || from_height / k < height)) k /= 2;
    return k;
  }
};

// Pictures above `most_pixels` are refused before memory for them is taken. JPEG pictures come at
// 1/divisor of their size, averaged in the domain of their transform; PNG pictures at theirs.
std::unique_ptr<RowReader> open_png(std::string_view bytes, const std::string& where,
                                    uint64_t most_pixels);
std::unique_ptr<RowReader> open_jpeg(std::string_view bytes, const std::string& where,
                                     uint64_t most_pixels, LeastSize least = {});

inline UserError too_many_pixels(const std::string& where, uint64_t most_pixels) {
  return bad_input(where, "has more than " + std::to_string(most_pixels) + " pixels");
}

/// The reader for a file, told apart by content; UserError where it is neither.
std::unique_ptr<RowReader> open_rows(std::string_view bytes, const std::string& where,
                                     uint64_t most_pixels, LeastSize least = {});

/// Where an output coordinate falls between two input coordinates.
struct Tap {
  int low, high;
  float weight;  // of `high`
};

/// Half-pixel centres, edges repeated: `to` coordinates over `from` samples that stand for `extent`
/// of the input axis.
std::vector<Tap> resize_taps(int from, double extent, int to);

/// 0.299 R + 0.587 G + 0.114 B, rounded; `grey` may be `colour`.
void grey_of(const uint8_t* colour, int count, uint8_t* grey);

}  // namespace espalier

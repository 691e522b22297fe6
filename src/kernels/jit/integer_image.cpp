#include "kernels/jit/integer_image.h"

#include <algorithm>
#include <cstring>

#include "kernels/integers.h"

namespace espalier::kernels {

IntegerImage::IntegerImage(const IntegerContraction& c) {
  for (size_t d : {0, 1}) {
    const bool one = c.window[d] == 1;
    reads[d] = one ? c.strides[d] : 1;
    steps[d] = one ? 1 : c.strides[d];
  }
  width = extent(c, 1, c.y[1]);
}

int64_t IntegerImage::extent(const IntegerContraction& c, size_t d, int64_t of_y) const {
  return (of_y - 1) * steps[d] + (c.window[d] - 1) * c.dilations[d] + 1;
}

void IntegerImage::copy(const IntegerContraction& c, const void* x, int64_t first, int64_t rows,
                        int16_t* to) const {
  const int64_t count = extent(c, 0, rows), line = c.x[1] * c.channels;
  const int64_t begin = first * c.strides[0] - c.pads[0];
  const auto row_at = [&](int64_t row) { return static_cast<const std::byte*>(x) + row * line; };
  const bool rows_as_they_are = reads[0] == 1 && begin >= 0 && begin + count <= c.x[0];
  if (rows_as_they_are && reads[1] == 1 && c.pads[1] == 0 && width == c.x[1])
    return widen(row_at(begin), c.x_type, c.x_zero_point, to, count * line);
  for (int64_t i = 0; i < count; ++i, to += width * c.channels) {
    const int64_t row = begin + i * reads[0];
    if (row < 0 || row >= c.x[0])
      std::memset(to, 0, size_t(width * c.channels) * sizeof(int16_t));
    else
      copy_row(c, row_at(row), to);
  }
}

void IntegerImage::copy_row(const IntegerContraction& c, const std::byte* row, int16_t* to) const {
  const int64_t n = c.channels;
  const auto fill = [&](int64_t column, int64_t count) {
    std::memset(to + column * n, 0, size_t(count * n) * sizeof(int16_t));
  };
  const auto take = [&](int64_t column, int64_t from, int64_t count) {
    widen(row + from * n, c.x_type, c.x_zero_point, to + column * n, count * n);
  };
  if (reads[1] == 1) {
    const int64_t left = std::min(c.pads[1], width), count = std::min(width - left, c.x[1]);
    fill(0, left);
    take(left, 0, count);
    return fill(left + count, width - left - count);
  }
  for (int64_t column = 0; column < width; ++column) {
    const int64_t from = column * reads[1] - c.pads[1];
    if (from < 0 || from >= c.x[1])
      fill(column, 1);
    else
      take(column, from, 1);
  }
}

}  // namespace espalier::kernels

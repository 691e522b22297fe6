// The widened copy of rows of x that a block of rows of y is computed from.
#pragma once

#include "kernels/jit/integer_contraction.h"

namespace espalier::kernels {

/// Rows of so many columns, channels innermost, padding included. Windows of one element meet only
/// what is copied for them; other copies hold all that lies between.
struct IntegerImage {
  int64_t width = 0;               ///< columns
  IntegerContraction::Pair reads;  ///< rows and columns of x from one of the image to the next
  IntegerContraction::Pair steps;  ///< rows and columns of the image from one of y to the next

  explicit IntegerImage(const IntegerContraction& c);
  /// Rows (d = 0) or columns (d = 1) that so many of y need.
  int64_t extent(const IntegerContraction& c, size_t d, int64_t of_y) const;
  /// What rows [first, first + rows) of y need of one image of x, zero points taken off.
  void copy(const IntegerContraction& c, const void* x, int64_t first, int64_t rows,
            int16_t* to) const;

 private:
  void copy_row(const IntegerContraction& c, const std::byte* row, int16_t* to) const;
};

}  // namespace espalier::kernels

#include "kernels/transpose.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "tensor/shape.h"

namespace espalier::kernels {
namespace {

// Of unsigned integers as wide as the elements, in registers that every machine has.
template <class T>
struct Block {
  typedef T V __attribute__((vector_size(16)));
  static constexpr int64_t kRows = 16 / sizeof(T);

  template <size_t... I>
  static void interleave(V a, V b, V& low, V& high, std::index_sequence<I...>) {
    low = __builtin_shufflevector(a, b, (I / 2 + (I % 2) * kRows)...);
    high = __builtin_shufflevector(a, b, (kRows / 2 + I / 2 + (I % 2) * kRows)...);
  }

  /// A block of kRows rows: each step interleaves the first half of the rows with the second.
  static void transpose(const T* x, int64_t x_step, T* y, int64_t y_step) {
    V rows[kRows], next[kRows];
    for (int64_t r = 0; r < kRows; ++r) std::memcpy(&rows[r], x + r * x_step, sizeof(V));
    for (int64_t done = 1; done < kRows; done *= 2) {
      for (int64_t r = 0; r < kRows / 2; ++r)
        interleave(rows[r], rows[r + kRows / 2], next[2 * r], next[2 * r + 1],
                   std::make_index_sequence<size_t(kRows)>());
      std::memcpy(rows, next, sizeof rows);
    }
    for (int64_t r = 0; r < kRows; ++r) std::memcpy(y + r * y_step, &rows[r], sizeof(V));
  }
};

/// y[c, r] = x[r, c] for rows [r0, r1) and columns [c0, c1); rows begin x_step apart, those of the
/// result y_step.
template <class T>
void transpose_rows(const T* x, int64_t x_step, T* y, int64_t y_step, int64_t r0, int64_t r1,
                    int64_t c0, int64_t c1) {
  const int64_t rows = r1 - r0;
  if (rows == y_step && rows <= 4) {  // pixels of an image: the result is one run
    for (int64_t c = c0; c < c1; ++c)
      for (int64_t r = 0; r < rows; ++r) y[c * rows + r] = x[(r0 + r) * x_step + c];
    return;
  }
  if (rows <= 4 || c1 - c0 <= 4) {
    for (int64_t c = c0; c < c1; ++c)
      for (int64_t r = r0; r < r1; ++r) y[c * y_step + r] = x[r * x_step + c];
    return;
  }
  // Tiles use up the lines of the cache that they read and write.
  constexpr int64_t kTile = 64 / sizeof(T), kBlock = Block<T>::kRows;
  for (int64_t rt = r0; rt < r1; rt += kTile)
    for (int64_t ct = c0; ct < c1; ct += kTile) {
      const int64_t re = std::min(rt + kTile, r1), ce = std::min(ct + kTile, c1);
      const int64_t whole_r = re - (re - rt) % kBlock, whole_c = ce - (ce - ct) % kBlock;
      for (int64_t c = ct; c < whole_c; c += kBlock)
        for (int64_t r = rt; r < whole_r; r += kBlock)
          Block<T>::transpose(x + r * x_step + c, x_step, y + c * y_step + r, y_step);
      for (int64_t c = ct; c < ce; ++c)
        for (int64_t r = c < whole_c ? whole_r : rt; r < re; ++r)
          y[c * y_step + r] = x[r * x_step + c];
    }
}

/// Where the elements of axis `across`, not the last, lie side by side in x: matrices of it and the
/// last axis are transposed.
template <class T>
void transpose_typed(const T* x, T* y, std::span<const int64_t> shape,
                     std::span<const int64_t> strides, size_t across) {
  const size_t last = shape.size() - 1;
  const std::vector<int64_t> places = strides_of(Shape(shape.begin(), shape.end()));
  const int64_t rows = shape[last], columns = shape[across], y_step = places[across];
  const int64_t matrices = numel(shape) / (rows * columns);
  constexpr int64_t kGrain = 1 << 15;
  if (matrices == 1)
    return parallel_for(columns, std::max<int64_t>(64, kGrain / rows), [&](int64_t b, int64_t e) {
      transpose_rows(x, strides[last], y, y_step, 0, rows, b, e);
    });
  parallel_for(matrices, std::max<int64_t>(1, kGrain / (rows * columns)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t m = begin; m < end; ++m) {
                   int64_t from = 0, to = 0, rest = m;
                   for (size_t d = last; d-- > 0;) {
                     if (d == across) continue;
                     from += rest % shape[d] * strides[d];
                     to += rest % shape[d] * places[d];
                     rest /= shape[d];
                   }
                   transpose_rows(x + from, strides[last], y + to, y_step, 0, rows, 0, columns);
                 }
               });
}

/// The axis for `transpose_typed`; the last one where rows are copied as they are, or by elements.
size_t axis_across(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  const size_t last = shape.size() - 1;
  if (shape[last] == 1 || strides[last] == 1) return last;
  for (size_t d = 0; d < last; ++d)
    if (shape[d] > 1 && strides[d] == 1) return d;
  return last;
}

template <class T>
void copy_typed(const T* x, T* y, std::span<const int64_t> shape,
                std::span<const int64_t> strides) {
  const size_t rank = shape.size();
  const int64_t inner = rank ? shape[rank - 1] : 1, step = rank ? strides[rank - 1] : 1;
  int64_t outer = 1;
  for (size_t d = 0; d + 1 < rank; ++d) outer *= shape[d];
  parallel_for(outer, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(inner, 1)),
               [&](int64_t begin, int64_t end) {
                 std::vector<int64_t> index(rank, 0);
                 int64_t offset = 0, rest = begin;
                 for (size_t d = rank - 1; d-- > 0 && rank > 1;) {
                   index[d] = rest % shape[d];
                   rest /= shape[d];
                   offset += index[d] * strides[d];
                 }
                 T* out = y + begin * inner;
                 for (int64_t o = begin; o < end; ++o) {
                   const T* in = x + offset;
                   if (step == 1)
                     std::memcpy(out, in, size_t(inner) * sizeof(T));
                   else
                     for (int64_t i = 0; i < inner; ++i) out[i] = in[i * step];
                   out += inner;
                   for (size_t d = rank - 1; d-- > 0 && rank > 1;) {
                     offset += strides[d];
                     if (++index[d] < shape[d]) break;
                     offset -= strides[d] * shape[d];
                     index[d] = 0;
                   }
                 }
               });
}

template <class F>
void by_width(size_t width, F&& f) {
  switch (width) {
    case 1: f(uint8_t{}); break;
    case 2: f(uint16_t{}); break;
    case 4: f(uint32_t{}); break;
    case 8: f(uint64_t{}); break;
    default: ESP_CHECK(false, "elements of " + std::to_string(width) + " bytes are not moved");
  }
}

}  // namespace

void transpose_matrices(const void* x, void* y, int64_t batch, int64_t rows, int64_t columns,
                        size_t width) {
  if (batch * rows * columns == 0) return;
  const int64_t shape[] = {batch, columns, rows}, strides[] = {rows * columns, 1, columns};
  by_width(width, [&](auto tag) {
    using T = decltype(tag);
    transpose_typed(static_cast<const T*>(x), static_cast<T*>(y), shape, strides, 1);
  });
}

void copy_strided(const void* x, void* y, std::span<const int64_t> shape,
                  std::span<const int64_t> strides, size_t width) {
  if (numel(shape) == 0) return;
  const size_t across = shape.empty() ? 0 : axis_across(shape, strides);
  by_width(width, [&](auto tag) {
    using T = decltype(tag);
    if (across + 1 < shape.size())
      return transpose_typed(static_cast<const T*>(x), static_cast<T*>(y), shape, strides, across);
    copy_typed(static_cast<const T*>(x), static_cast<T*>(y), shape, strides);
  });
}

}  // namespace espalier::kernels

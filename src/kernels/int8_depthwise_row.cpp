#include "kernels/int8_depthwise_row.h"

// The headers of g++ 12 read undefined vectors on purpose and warn about it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")

#define ESP_INLINE inline __attribute__((always_inline))

#include "kernels/int8_depthwise_lanes-inl.h"

namespace espalier::kernels {
namespace {

using Result = Int8DepthwiseResult;

// As in the tiles of the convolution: the intrinsic would make g++ 12 spill its accumulators.
template <class V>
ESP_INLINE void dot4(V& sum, V u8, V s8) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u8), "v"(s8));
}

/// Four vectors of the results of one pixel, in registers.
template <class L, Result kResult>
class Writer {
 public:
  using V = typename L::V;
  explicit Writer(const Int8DepthwiseRow& t)
      : scales_(t.scales),
        bias_(t.bias),
        clamps_(t.clamps),
        low_(L::all(t.low)),
        high_(L::all(t.high)),
        y_(t.y),
        step_(t.y_step) {}

  /// Of the next pixel.
  ESP_INLINE void write(const V (&sum)[4]) {
    if constexpr (kResult == Result::kSums) {
      auto* y = static_cast<int32_t*>(y_);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) L::store_sums(y, sum[v], v);
      y_ = y + step_;
    } else {
      V r[4];
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v)
        r[v] = L::rounded(sum[v], scales_ + v * L::kBytes / 4, bias_ + v * L::kBytes / 4);
      const V a = L::to16(r[0], r[1]), b = L::to16(r[2], r[3]);
      auto* y = static_cast<uint8_t*>(y_);
      V bytes = kResult == Result::kU8 ? L::to_u8(a, b) : L::to_i8(a, b);
      if (clamps_)
        bytes = kResult == Result::kU8 ? L::clamp_u8(bytes, low_, high_)
                                       : L::clamp_i8(bytes, low_, high_);
      L::store(y, bytes);
      y_ = y + step_;
    }
  }

 private:
  const float *scales_, *bias_;
  bool clamps_;
  V low_, high_;
  void* y_;
  int64_t step_;
};

/// Columns of up to four rows, one after the other, each channel's bytes side by side.
template <class L>
class Columns {
 public:
  using V = typename L::V;
  /// Rows `row` to `row + 3` of the window; behind its last one that one again, for weights of
  /// zero.
  Columns(const Int8DepthwiseRow& t, int64_t row)
      : column_(t.first),
        width_(uint64_t(t.width)),
        flips_(t.flip != 0),
        flip_(L::all(t.flip)),
        fill_(L::all(t.fill)) {
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t r = row + i < t.window_rows ? row + i : t.window_rows - 1;
      step_[i] = t.steps[r];
      at_[i] = t.rows[r] + (t.first > 0 ? t.first : 0) * step_[i];
    }
  }

  /// Rows after `kRows` repeat the last one.
  template <int kRows>
  ESP_INLINE void next(V (&x)[4]) {
    if (__builtin_expect(uint64_t(column_++) >= width_, 0)) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) x[v] = fill_;
      return;
    }
    V row[4];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      row[i] = L::load(at_[i]);
      at_[i] += step_[i];
    }
    if (flips_) {
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) row[i] = L::flipped(row[i], flip_);
    }
#pragma GCC unroll 4
    for (int i = kRows; i < 4; ++i) row[i] = row[kRows - 1];
    const V low01 = L::low8(row[0], row[1]), high01 = L::high8(row[0], row[1]);
    const V low23 = L::low8(row[2], row[3]), high23 = L::high8(row[2], row[3]);
    x[0] = L::low16(low01, low23);
    x[1] = L::high16(low01, low23);
    x[2] = L::low16(high01, high23);
    x[3] = L::high16(high01, high23);
  }

 private:
  int64_t column_;
  uint64_t width_;
  bool flips_;
  const uint8_t* at_[4];
  int64_t step_[4];
  V flip_, fill_;
};

/// Slides a window along a row: every column is seen once, by the sums of all pixels that it
/// belongs to. `next` gives a column as [group][vector], `done` takes the sums of one pixel after
/// the other.
template <int kColumns, int kStride, class V, int kGroups, int kVectors, class Begin, class Next,
          class Done>
ESP_INLINE void slide(const V (&w)[kGroups][kColumns][kVectors], int64_t pixels, Begin begin,
                      Next next, Done done) {
  constexpr int kOpen = (kColumns + kStride - 1) / kStride;  // pixels that are not done
  V sum[kOpen][kVectors], x[kGroups][kVectors];
#pragma GCC unroll 7
  for (int i = 0; i < kOpen; ++i) begin(sum[i]);
  // Column `c` of the window of the first pixel that is not done.
  const auto add = [&](int c) __attribute__((always_inline)) {
    next(x);
#pragma GCC unroll 7
    for (int i = 0; i < kOpen; ++i) {
      const int j = c - i * kStride;
      if (j < 0) continue;
#pragma GCC unroll 2
      for (int g = 0; g < kGroups; ++g)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) dot4(sum[i][v], x[g][v], w[g][j][v]);
    }
  };
#pragma GCC unroll 7
  for (int c = 0; c < kColumns - kStride; ++c) add(c);
  for (int64_t p = 0; p < pixels; ++p) {
#pragma GCC unroll 7
    for (int c = kColumns - kStride; c < kColumns; ++c) add(c);
    done(sum[0]);
#pragma GCC unroll 7
    for (int i = 0; i + 1 < kOpen; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = sum[i + 1][v];
    begin(sum[kOpen - 1]);
  }
}

// Small windows: from the source to the result without a stop. The weights of three by three stay
// in registers.
template <class L, Result kResult, int kRows, int kColumns, int kStride>
void small_window(const Int8DepthwiseRow& t) {
  using V = typename L::V;
  constexpr int kGroups = (kRows + 3) / 4, kFirst = kRows > 4 ? 4 : kRows;
  V w[kGroups][kColumns][4];
#pragma GCC unroll 2
  for (int g = 0; g < kGroups; ++g)
#pragma GCC unroll 5
    for (int j = 0; j < kColumns; ++j)
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v)
        w[g][j][v] = L::load(t.weights + L::kBytes * (4 * (g * kColumns + j) + v));
  const int32_t* start = t.start;
  Columns<L> first(t, 0), second(t, 4);
  Writer<L, kResult> writer(t);
  slide<kColumns, kStride>(
      w, t.pixels,
      [start](V(&sum)[4]) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) sum[v] = L::load(start + v * L::kBytes / 4);
      },
      [&first, &second ](V(&x)[kGroups][4]) __attribute__((always_inline)) {
        first.template next<kFirst>(x[0]);
        if constexpr (kGroups > 1) second.template next<kRows - 4>(x[1]);
      },
      [&writer](const V(&sum)[4]) __attribute__((always_inline)) { writer.write(sum); });
}

// ---- Other windows: columns are put together and kept, then sums are kept too -------------------

/// Columns of groups, 16 KiB of 64 channels.
constexpr int64_t kKeptColumns = 64;
/// Pixels; 8 KiB.
constexpr int64_t kKeptSums = 32;

int64_t groups_of(const Int8DepthwiseRow& t) { return (t.window_rows + 3) / 4; }

template <class L>
struct Kept {
  using V = typename L::V;
  int64_t columns;  ///< of each group
  alignas(64) V x[kKeptColumns][4];
  alignas(64) V sums[kKeptSums][4];
};

// Seven columns of two groups of rows, a vector of channels after the other, so that its weights
// stay in registers.
template <class L, int kColumns, int kStride>
void large_window(const Int8DepthwiseRow& t, Kept<L>& k) {
  using V = typename L::V;
  for (int v = 0; v < 4; ++v) {
    V w[2][kColumns][1];
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g)
#pragma GCC unroll 7
      for (int j = 0; j < kColumns; ++j)
        w[g][j][0] = L::load(t.weights + L::kBytes * (4 * (g * kColumns + j) + v));
    const int32_t* start = t.start + v * L::kBytes / 4;
    const V *first = &k.x[0][v], *second = &k.x[k.columns][v];
    V* to = &k.sums[0][v];
    slide<kColumns, kStride>(
        w,
        t.pixels, [start](V(&sum)[1]) __attribute__((always_inline)) { sum[0] = L::load(start); },
        [&first, &second ](V(&x)[2][1]) __attribute__((always_inline)) {
          x[0][0] = *first;
          x[1][0] = *second;
          first += 4;
          second += 4;
        },
        [&to](const V(&sum)[1]) __attribute__((always_inline)) {
          *to = sum[0];
          to += 4;
        });
  }
}

template <class L, int kPixels>
ESP_INLINE void some_pixels(const Int8DepthwiseRow& t, Kept<L>& k, int64_t pixel) {
  using V = typename L::V;
  V sum[kPixels][4];
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sum[p][v] = L::load(t.start + v * L::kBytes / 4);
  const int8_t* weights = t.weights;
  const int64_t groups = groups_of(t), step = t.stride;
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t j = 0; j < t.window_columns; ++j, weights += 4 * L::kBytes) {
      const V(*x)[4] = &k.x[g * k.columns + pixel * step + j * t.dilation];
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const V w = L::load(weights + v * L::kBytes);
#pragma GCC unroll 4
        for (int p = 0; p < kPixels; ++p) dot4(sum[p][v], x[p * step][v], w);
      }
    }
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) k.sums[pixel + p][v] = sum[p][v];
}

template <class L>
void any_window(const Int8DepthwiseRow& t, Kept<L>& k) {
  int64_t p = 0;
  for (; p + 4 <= t.pixels; p += 4) some_pixels<L, 4>(t, k, p);
  for (; p < t.pixels; ++p) some_pixels<L, 1>(t, k, p);
}

template <class L>
void sums_of(const Int8DepthwiseRow& t, Kept<L>& k) {
  k.columns = (t.pixels - 1) * t.stride + (t.window_columns - 1) * t.dilation + 1;
  for (int64_t g = 0; g < groups_of(t); ++g) {
    Columns<L> source(t, 4 * g);
    for (int64_t c = 0; c < k.columns; ++c) source.template next<4>(k.x[g * k.columns + c]);
  }
  const bool large = groups_of(t) == 2 && t.window_columns == 7 && t.dilation == 1;
  if (large && t.stride == 1) return large_window<L, 7, 1>(t, k);
  if (large && t.stride == 2) return large_window<L, 7, 2>(t, k);
  any_window(t, k);
}

// ---- Which of them ------------------------------------------------------------------------------

bool is_small(const Int8DepthwiseRow& t) {
  const bool three = t.window_columns == 3 && t.window_rows <= 3;
  const bool five = t.window_columns == 5 && t.window_rows == 5;
  return (three || five) && t.dilation == 1 && t.stride <= 2;
}

template <class L, Result kResult>
void row_of(const Int8DepthwiseRow& t) {
  if (is_small(t)) {
    if (t.window_columns == 3)
      return t.stride == 1 ? small_window<L, kResult, 3, 3, 1>(t)
                           : small_window<L, kResult, 3, 3, 2>(t);
    return t.stride == 1 ? small_window<L, kResult, 5, 5, 1>(t)
                         : small_window<L, kResult, 5, 5, 2>(t);
  }
  Kept<L> kept;
  sums_of(t, kept);
  Writer<L, kResult> writer(t);
  for (int64_t p = 0; p < t.pixels; ++p) writer.write(kept.sums[p]);
}

template <class L>
void row_with(const Int8DepthwiseRow& t, Result result) {
  return result == Result::kU8   ? row_of<L, Result::kU8>(t)
         : result == Result::kI8 ? row_of<L, Result::kI8>(t)
                                 : row_of<L, Result::kSums>(t);
}

}  // namespace

int64_t int8_depthwise_pixels(const Int8DepthwiseRow& t) {
  if (is_small(t)) return INT64_MAX;
  const int64_t columns = kKeptColumns / groups_of(t);
  const int64_t reach = (t.window_columns - 1) * t.dilation + 1;
  const int64_t pixels = columns < reach ? 0 : (columns - reach) / t.stride + 1;
  return pixels < kKeptSums ? pixels : kKeptSums;
}

void int8_depthwise_row(const Int8DepthwiseRow& t, int channels, Int8DepthwiseResult result) {
  return channels == 64   ? row_with<Lanes64>(t, result)
         : channels == 32 ? row_with<Lanes32>(t, result)
                          : row_with<Lanes16>(t, result);
}

}  // namespace espalier::kernels

#undef ESP_INLINE

#pragma GCC pop_options
#pragma GCC diagnostic pop

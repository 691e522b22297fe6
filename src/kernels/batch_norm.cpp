#include "kernels/batch_norm.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/batch_norm.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd_math-inl.h"

#ifndef ESPALIER_ROW_COMBINATION
#define ESPALIER_ROW_COMBINATION
namespace espalier::kernels {
/// y = (u - shift) a + v b + k, all by channel, without b plus v; y is kept within the bounds, or v
/// counts only where `mask` lies between them.
struct RowCombination {
  const float *shift = nullptr, *a = nullptr, *b = nullptr, *k = nullptr;
  const NormBounds* bounds = nullptr;
};
}  // namespace espalier::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Bounds in lanes; a bound that is not there keeps nothing out.
struct LaneBounds {
  explicit LaneBounds(const NormBounds& b)
      : low(hn::Set(DF(), b.low.value_or(-std::numeric_limits<float>::infinity()))),
        high(hn::Set(DF(), b.high.value_or(std::numeric_limits<float>::infinity()))),
        no_low(hn::Set(DF(), b.low ? 0.0f : 1.0f)),
        no_high(hn::Set(DF(), b.high ? 0.0f : 1.0f)) {}
  HWY_INLINE VF keep(VF v) const { return clamp_v(low, high, v); }
  HWY_INLINE VF mask(VF y, VF v) const {
    const VF zero = hn::Zero(DF());
    const auto above = hn::Or(hn::Gt(y, low), hn::Gt(no_low, zero));
    const auto below = hn::Or(hn::Lt(y, high), hn::Gt(no_high, zero));
    return hn::IfThenElseZero(hn::And(above, below), v);
  }

  VF low, high, no_low, no_high;
};

float masked(const NormBounds& b, float y, float v) {
  return (!b.low || y > *b.low) && (!b.high || y < *b.high) ? v : 0;
}

float kept(const NormBounds& b, float v) {
  if (b.low && v < *b.low) v = *b.low;
  return b.high && v > *b.high ? *b.high : v;
}

/// Vectors of channels that are walked together, row by row: what lies side by side is read at
/// once. Even and odd rows are summed apart, which also halves the errors of a sum.
constexpr int kStrip = HWY_TARGET == HWY_AVX3 ? 4 : 2;

// Sums and, where kSquares, sums of squares of x - shift over so many vectors of channels.
template <bool kSquares, int kVectors, class T>
HWY_INLINE void strip_moments(const T* x, int64_t rows, int64_t channels, const float* shift,
                              float* sum, float* square) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  VF k[kVectors], s[kVectors], q[kVectors];
  for (int i = 0; i < kVectors; ++i) {
    k[i] = hn::LoadU(d, shift + i * lanes);
    s[i] = q[i] = hn::Zero(d);
  }
  for (int64_t r = 0; r < rows; ++r, x += channels)
    for (int i = 0; i < kVectors; ++i) {
      const VF v = hn::Sub(load_lanes(d, x + i * lanes), k[i]);
      s[i] = hn::Add(s[i], v);
      if constexpr (kSquares) q[i] = hn::MulAdd(v, v, q[i]);
    }
  for (int i = 0; i < kVectors; ++i) {
    hn::StoreU(s[i], d, sum + i * lanes);
    if constexpr (kSquares) hn::StoreU(q[i], d, square + i * lanes);
  }
}

// Of one block of rows.
template <class T, bool kSquares>
void block_moments_of(const T* x, int64_t rows, int64_t channels, const float* shift, float* sum,
                      float* square) {
  const int64_t lanes = int64_t(hn::Lanes(DF()));
  int64_t c = 0;
  for (; c + kStrip * lanes <= channels; c += kStrip * lanes)
    strip_moments<kSquares, kStrip>(x + c, rows, channels, shift + c, sum + c, square + c);
  for (; c + lanes <= channels; c += lanes)
    strip_moments<kSquares, 1>(x + c, rows, channels, shift + c, sum + c, square + c);
  for (; c < channels; ++c) {
    float s = 0, q = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const float v = float(x[r * channels + c]) - shift[c];
      s += v;
      q += v * v;
    }
    sum[c] = s;
    if (kSquares) square[c] = q;
  }
}

void block_moments(DType type, const void* x, int64_t rows, int64_t channels, const float* shift,
                   float* sum, float* square) {
  if (type == DType::f32)
    block_moments_of<float, true>(static_cast<const float*>(x), rows, channels, shift, sum, square);
  else
    block_moments_of<bfloat16, true>(static_cast<const bfloat16*>(x), rows, channels, shift, sum,
                                     square);
}

void block_sums(DType type, const void* x, int64_t rows, int64_t channels, const float* shift,
                float* sum) {
  if (type == DType::f32)
    block_moments_of<float, false>(static_cast<const float*>(x), rows, channels, shift, sum, sum);
  else
    block_moments_of<bfloat16, false>(static_cast<const bfloat16*>(x), rows, channels, shift, sum,
                                      sum);
}

/// What gradients are summed from; y is read where it masks dy.
template <class T>
struct GradientRows {
  const T *x, *dy, *y;
  int64_t rows, channels;
  const NormBounds& bounds;
};

// Sums of dy and of dy (x - mean) over so many vectors of channels, row by row.
template <bool kMasked, int kVectors, class T>
HWY_INLINE void strip_gradients(const GradientRows<T>& g, const LaneBounds& within, int64_t c,
                                const float* mean, float* sum, float* product) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  VF m[kVectors], s[kVectors], p[kVectors];
  for (int i = 0; i < kVectors; ++i) {
    m[i] = hn::LoadU(d, mean + c + i * lanes);
    s[i] = p[i] = hn::Zero(d);
  }
  for (int64_t r = 0; r < g.rows; ++r)
    for (int i = 0; i < kVectors; ++i) {
      const int64_t at = r * g.channels + c + i * lanes;
      VF v = load_lanes(d, g.dy + at);
      if constexpr (kMasked) v = within.mask(load_lanes(d, g.y + at), v);
      s[i] = hn::Add(s[i], v);
      p[i] = hn::MulAdd(v, hn::Sub(load_lanes(d, g.x + at), m[i]), p[i]);
    }
  for (int i = 0; i < kVectors; ++i) {
    hn::StoreU(s[i], d, sum + c + i * lanes);
    hn::StoreU(p[i], d, product + c + i * lanes);
  }
}

template <bool kMasked, class T>
void block_gradients_of(const GradientRows<T>& g, const float* mean, float* sum, float* product) {
  const LaneBounds within(g.bounds);
  const int64_t lanes = int64_t(hn::Lanes(DF()));
  int64_t c = 0;
  for (; c + kStrip * lanes <= g.channels; c += kStrip * lanes)
    strip_gradients<kMasked, kStrip>(g, within, c, mean, sum, product);
  for (; c + lanes <= g.channels; c += lanes)
    strip_gradients<kMasked, 1>(g, within, c, mean, sum, product);
  for (; c < g.channels; ++c) {
    float s = 0, p = 0;
    for (int64_t r = 0; r < g.rows; ++r) {
      const int64_t at = r * g.channels + c;
      float v = float(g.dy[at]);
      if (kMasked) v = masked(g.bounds, float(g.y[at]), v);
      s += v;
      p += v * (float(g.x[at]) - mean[c]);
    }
    sum[c] = s;
    product[c] = p;
  }
}

template <class T>
void block_gradients_in(const void* x, const void* dy, const void* y, const NormBounds& bounds,
                        int64_t rows, int64_t channels, const float* mean, float* sum,
                        float* product) {
  const GradientRows<T> g{static_cast<const T*>(x),
                          static_cast<const T*>(dy),
                          static_cast<const T*>(y),
                          rows,
                          channels,
                          bounds};
  (y ? block_gradients_of<true, T> : block_gradients_of<false, T>)(g, mean, sum, product);
}

void block_gradients(DType type, const void* x, const void* dy, const void* y,
                     const NormBounds& bounds, int64_t rows, int64_t channels, const float* mean,
                     float* sum, float* product) {
  (type == DType::f32
       ? block_gradients_in<float>
       : block_gradients_in<bfloat16>)(x, dy, y, bounds, rows, channels, mean, sum, product);
}

enum class Bounded : uint8_t { kNot, kResult, kMasked };

// `shift` and v may be null. Where u is far from 0 beside how much it varies, shifting it first
// saves what would cancel.
template <Bounded kBounded, class T>
void combine_rows_of(const RowCombination& w, const T* u, const T* v, const T* mask, int64_t rows,
                     int64_t channels, T* y) {
  const DF d;
  const NormBounds bounds = w.bounds ? *w.bounds : NormBounds{};
  const LaneBounds within(bounds);
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * channels;
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      VF x = load_lanes(d, u + at + c);
      if (w.shift) x = hn::Sub(x, hn::LoadU(d, w.shift + c));
      VF s = hn::MulAdd(x, hn::LoadU(d, w.a + c), hn::LoadU(d, w.k + c));
      if (v) {
        VF g = load_lanes(d, v + at + c);
        if constexpr (kBounded == Bounded::kMasked)
          g = within.mask(load_lanes(d, mask + at + c), g);
        s = w.b ? hn::MulAdd(g, hn::LoadU(d, w.b + c), s) : hn::Add(s, g);
      }
      if constexpr (kBounded == Bounded::kResult) s = within.keep(s);
      store_lanes(d, s, y + at + c);
    }
    for (; c < channels; ++c) {
      const float x = float(u[at + c]) - (w.shift ? w.shift[c] : 0.0f);
      float g = v ? float(v[at + c]) : 0.0f;
      if (kBounded == Bounded::kMasked) g = masked(bounds, float(mask[at + c]), g);
      const float s = x * w.a[c] + w.k[c] + (w.b ? g * w.b[c] : g);
      y[at + c] = T(kBounded == Bounded::kResult ? kept(bounds, s) : s);
    }
  }
}

template <class T>
void combine_rows_in(const RowCombination& w, const void* u, const void* v, const void* mask,
                     int64_t rows, int64_t channels, void* y) {
  const auto combine = !w.bounds ? combine_rows_of<Bounded::kNot, T>
                       : mask    ? combine_rows_of<Bounded::kMasked, T>
                                 : combine_rows_of<Bounded::kResult, T>;
  combine(w, static_cast<const T*>(u), static_cast<const T*>(v), static_cast<const T*>(mask), rows,
          channels, static_cast<T*>(y));
}

void combine_rows(DType type, const RowCombination& w, const void* u, const void* v,
                  const void* mask, int64_t rows, int64_t channels, void* y) {
  (type == DType::f32 ? combine_rows_in<float> : combine_rows_in<bfloat16>)(w, u, v, mask, rows,
                                                                            channels, y);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>

#include "base/threads.h"

namespace espalier::kernels {
namespace {

HWY_EXPORT(block_moments);
HWY_EXPORT(block_sums);
HWY_EXPORT(block_gradients);
HWY_EXPORT(combine_rows);

/// Rows of a block: three operands of it stay in the first-level caches, and its sums in f32 are
/// short.
int64_t block_rows(const BatchNormShape& s) {
  return std::max<int64_t>(8, (1 << 12) / std::max<int64_t>(1, s.channels));
}
int64_t blocks(const BatchNormShape& s) { return (s.rows + block_rows(s) - 1) / block_rows(s); }

/// Null where x is.
const char* at_row(const BatchNormShape& s, const void* x, int64_t row) {
  if (!x) return nullptr;
  return static_cast<const char*>(x) + size_t(row * s.channels) * size_of(s.type);
}
char* at_row(const BatchNormShape& s, void* x, int64_t row) {
  return static_cast<char*>(x) + size_t(row * s.channels) * size_of(s.type);
}

/// Calls body(block, first row, rows) for every block, in parallel.
template <class F>
void for_blocks(const BatchNormShape& s, F body) {
  const int64_t step = block_rows(s);
  parallel_for(blocks(s), 2, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) body(b, b * step, std::min(step, s.rows - b * step));
  });
}

void combine(const BatchNormShape& s, const RowCombination& w, const void* u, const void* v,
             void* y, const void* mask = nullptr) {
  for_blocks(s, [&](int64_t, int64_t row, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(combine_rows)
    (s.type, w, at_row(s, u, row), at_row(s, v, row), at_row(s, mask, row), rows, s.channels,
     at_row(s, y, row));
  });
}

double combined(const float* partial, int64_t blocks, int64_t stride, int64_t c) {
  double sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += double(partial[b * stride + c]);
  return sum;
}

}  // namespace

size_t batch_norm_scratch(const BatchNormShape& s) {
  return size_t(2 * blocks(s) + 3) * size_t(s.channels) * sizeof(float);
}

void batch_norm_forward(const BatchNormShape& s, const BatchNormForward& a, void* scratch) {
  const int64_t c = s.channels, n = blocks(s);
  float* shift = static_cast<float*>(scratch);
  float *gain = shift + c, *offset = gain + c, *sums = offset + c, *squares = sums + n * c;
  // Moments about the first row: no cancellation where the mean is large.
  for (int64_t i = 0; i < c; ++i)
    shift[i] = s.rows == 0            ? 0.0f
               : s.type == DType::f32 ? static_cast<const float*>(a.x)[i]
                                      : float(static_cast<const bfloat16*>(a.x)[i]);
  for_blocks(s, [&](int64_t b, int64_t row, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(block_moments)
    (s.type, at_row(s, a.x, row), rows, c, shift, sums + b * c, squares + b * c);
  });
  const double count = double(std::max<int64_t>(1, s.rows));
  for (int64_t i = 0; i < c; ++i) {
    const double m = combined(sums, n, c, i) / count;
    const double var = std::max(0.0, combined(squares, n, c, i) / count - m * m);
    const double mean = m + double(shift[i]);
    const double inv = 1 / std::sqrt(var + double(a.epsilon));
    gain[i] = float(double(a.scale[i]) * inv);
    offset[i] = float(double(a.bias[i]) - m * double(a.scale[i]) * inv);
    const double keep = double(a.momentum);
    if (a.running_mean) a.running_mean[i] = float(keep * double(a.mean[i]) + (1 - keep) * mean);
    if (a.running_var) a.running_var[i] = float(keep * double(a.var[i]) + (1 - keep) * var);
    if (a.saved_mean) a.saved_mean[i] = float(mean);
    if (a.saved_inv_std) a.saved_inv_std[i] = float(inv);
  }
  const bool bounded = a.bounds.low || a.bounds.high;
  combine(s, {.shift = shift, .a = gain, .k = offset, .bounds = bounded ? &a.bounds : nullptr}, a.x,
          a.residual, a.y);
}

void scale_channels(const BatchNormShape& s, const void* x, const float* a, const float* b,
                    void* y) {
  combine(s, {.a = a, .k = b}, x, nullptr, y);
}

void batch_norm_backward(const BatchNormShape& s, const BatchNormBackward& a, void* scratch) {
  const int64_t c = s.channels, n = blocks(s);
  float* of_dy = static_cast<float*>(scratch);
  float *of_x = of_dy + c, *rest = of_x + c, *sums = rest + c, *products = sums + n * c;
  for_blocks(s, [&](int64_t b, int64_t row, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(block_gradients)
    (s.type, at_row(s, a.x, row), at_row(s, a.dy, row), at_row(s, a.y, row), a.bounds, rows, c,
     a.mean, sums + b * c, products + b * c);
  });
  const double count = double(std::max<int64_t>(1, s.rows));
  for (int64_t i = 0; i < c; ++i) {
    const double inv = double(a.inv_std[i]), gain = double(a.scale[i]) * inv;
    const double sum = combined(sums, n, c, i), product = combined(products, n, c, i) * inv;
    if (a.dbias) a.dbias[i] = float(sum);
    if (a.dscale) a.dscale[i] = float(product);
    const double slope = -gain * inv * product / count;
    of_dy[i] = float(gain);
    of_x[i] = float(slope);
    rest[i] = float(-gain * sum / count);
  }
  if (!a.dx) return;
  combine(s,
          {.shift = a.mean, .a = of_x, .b = of_dy, .k = rest, .bounds = a.y ? &a.bounds : nullptr},
          a.x, a.dy, a.dx, a.y);
}

void sum_rows(const BatchNormShape& s, const void* x, float scale, float* out, void* scratch) {
  const int64_t c = s.channels, n = blocks(s);
  float *zero = static_cast<float*>(scratch), *sums = zero + 3 * c;
  std::fill(zero, zero + c, 0.0f);
  for_blocks(s, [&](int64_t b, int64_t row, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(block_sums)
    (s.type, at_row(s, x, row), rows, c, zero, sums + b * c);
  });
  for (int64_t i = 0; i < c; ++i) out[i] = float(combined(sums, n, c, i) * double(scale));
}

}  // namespace espalier::kernels
#endif

#include "kernels/batch_norm.h"

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
/// y = (u - shift) a + v b + k, all by channel; where there is no b, v is added last. Negative
/// results become 0 if `relu` says so.
struct RowCombination {
  const float *shift = nullptr, *a = nullptr, *b = nullptr, *k = nullptr;
  bool relu = false;
};
}  // namespace espalier::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE VF load_lanes(DF d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE VF load_lanes(DF d, const bfloat16* p) {
  return load_bf16(d, reinterpret_cast<const uint16_t*>(p));
}
HWY_INLINE void store_lanes(DF d, VF v, float* p) { hn::StoreU(v, d, p); }
HWY_INLINE void store_lanes(DF d, VF v, bfloat16* p) {
  store_bf16(d, v, reinterpret_cast<uint16_t*>(p));
}

// sum and, where `squares`, sum of squares of x - shift over rows [0, rows) of one block.
template <class T, bool squares>
void block_moments_of(const T* x, int64_t rows, int64_t channels, const float* shift, float* sum,
                      float* square) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    const VF k = hn::LoadU(d, shift + c);
    VF s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
    const T* p = x + c;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4, p += 4 * channels) {
      const VF v0 = hn::Sub(load_lanes(d, p), k), v1 = hn::Sub(load_lanes(d, p + channels), k);
      const VF v2 = hn::Sub(load_lanes(d, p + 2 * channels), k);
      const VF v3 = hn::Sub(load_lanes(d, p + 3 * channels), k);
      s0 = hn::Add(s0, v0);
      s1 = hn::Add(s1, v1);
      s2 = hn::Add(s2, v2);
      s3 = hn::Add(s3, v3);
      if constexpr (squares) {
        q0 = hn::MulAdd(v0, v0, q0);
        q1 = hn::MulAdd(v1, v1, q1);
        q2 = hn::MulAdd(v2, v2, q2);
        q3 = hn::MulAdd(v3, v3, q3);
      }
    }
    for (; r < rows; ++r, p += channels) {
      const VF v = hn::Sub(load_lanes(d, p), k);
      s0 = hn::Add(s0, v);
      if constexpr (squares) q0 = hn::MulAdd(v, v, q0);
    }
    hn::StoreU(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), d, sum + c);
    if constexpr (squares) hn::StoreU(hn::Add(hn::Add(q0, q1), hn::Add(q2, q3)), d, square + c);
  }
  for (; c < channels; ++c) {
    float s = 0, q = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const float v = float(x[r * channels + c]) - shift[c];
      s += v;
      q += v * v;
    }
    sum[c] = s;
    if (squares) square[c] = q;
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
    block_moments_of<float, false>(static_cast<const float*>(x), rows, channels, shift, sum,
                                   nullptr);
  else
    block_moments_of<bfloat16, false>(static_cast<const bfloat16*>(x), rows, channels, shift, sum,
                                      nullptr);
}

// Sums of dy and of dy (x - mean).
template <class T>
void block_gradients_of(const T* x, const T* dy, int64_t rows, int64_t channels, const float* mean,
                        float* sum, float* product) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    const VF m = hn::LoadU(d, mean + c);
    VF s0 = hn::Zero(d), s1 = s0, p0 = s0, p1 = s0;
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2) {
      const int64_t at = r * channels + c;
      const VF g0 = load_lanes(d, dy + at), g1 = load_lanes(d, dy + at + channels);
      s0 = hn::Add(s0, g0);
      s1 = hn::Add(s1, g1);
      p0 = hn::MulAdd(g0, hn::Sub(load_lanes(d, x + at), m), p0);
      p1 = hn::MulAdd(g1, hn::Sub(load_lanes(d, x + at + channels), m), p1);
    }
    for (; r < rows; ++r) {
      const int64_t at = r * channels + c;
      const VF g = load_lanes(d, dy + at);
      s0 = hn::Add(s0, g);
      p0 = hn::MulAdd(g, hn::Sub(load_lanes(d, x + at), m), p0);
    }
    hn::StoreU(hn::Add(s0, s1), d, sum + c);
    hn::StoreU(hn::Add(p0, p1), d, product + c);
  }
  for (; c < channels; ++c) {
    float s = 0, p = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const float g = float(dy[r * channels + c]);
      s += g;
      p += g * (float(x[r * channels + c]) - mean[c]);
    }
    sum[c] = s;
    product[c] = p;
  }
}

void block_gradients(DType type, const void* x, const void* dy, int64_t rows, int64_t channels,
                     const float* mean, float* sum, float* product) {
  if (type == DType::f32)
    block_gradients_of(static_cast<const float*>(x), static_cast<const float*>(dy), rows, channels,
                       mean, sum, product);
  else
    block_gradients_of(static_cast<const bfloat16*>(x), static_cast<const bfloat16*>(dy), rows,
                       channels, mean, sum, product);
}

// `shift` and v may be null. Where u is far from 0 beside how much it varies, shifting it first
// saves what would cancel.
template <class T>
void combine_rows_of(const RowCombination& w, const T* u, const T* v, int64_t rows,
                     int64_t channels, T* y) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * channels;
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      VF x = load_lanes(d, u + at + c);
      if (w.shift) x = hn::Sub(x, hn::LoadU(d, w.shift + c));
      VF s = hn::MulAdd(x, hn::LoadU(d, w.a + c), hn::LoadU(d, w.k + c));
      if (v) {
        const VF other = load_lanes(d, v + at + c);
        s = w.b ? hn::MulAdd(other, hn::LoadU(d, w.b + c), s) : hn::Add(s, other);
      }
      if (w.relu) s = hn::IfThenZeroElse(hn::Lt(s, hn::Zero(d)), s);
      store_lanes(d, s, y + at + c);
    }
    for (; c < channels; ++c) {
      const float x = float(u[at + c]) - (w.shift ? w.shift[c] : 0.0f);
      float s = x * w.a[c] + w.k[c] + (v && w.b ? float(v[at + c]) * w.b[c] : 0.0f);
      if (v && !w.b) s += float(v[at + c]);
      y[at + c] = T(w.relu && s < 0 ? 0.0f : s);
    }
  }
}

void combine_rows(DType type, const RowCombination& w, const void* u, const void* v, int64_t rows,
                  int64_t channels, void* y) {
  if (type == DType::f32)
    combine_rows_of(w, static_cast<const float*>(u), static_cast<const float*>(v), rows, channels,
                    static_cast<float*>(y));
  else
    combine_rows_of(w, static_cast<const bfloat16*>(u), static_cast<const bfloat16*>(v), rows,
                    channels, static_cast<bfloat16*>(y));
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

/// Rows of a block: it stays in the first-level cache while its channels are walked.
int64_t block_rows(const BatchNormShape& s) {
  return std::max<int64_t>(8, (1 << 13) / std::max<int64_t>(1, s.channels));
}
int64_t blocks(const BatchNormShape& s) { return (s.rows + block_rows(s) - 1) / block_rows(s); }

const char* at_row(const BatchNormShape& s, const void* x, int64_t row) {
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
             void* y) {
  for_blocks(s, [&](int64_t, int64_t row, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(combine_rows)
    (s.type, w, at_row(s, u, row), v ? at_row(s, v, row) : nullptr, rows, s.channels,
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
  combine(s, {.shift = shift, .a = gain, .k = offset, .relu = a.relu}, a.x, a.residual, a.y);
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
    (s.type, at_row(s, a.x, row), at_row(s, a.dy, row), rows, c, a.mean, sums + b * c,
     products + b * c);
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
  combine(s, {.shift = a.mean, .a = of_x, .b = of_dy, .k = rest}, a.x, a.dy, a.dx);
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

// Gradients of operators over rows of a matrix, and what else training asks of rows.
#include "kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows_grad.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE VF load(DF d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE VF load(DF d, const bfloat16* p) {
  return load_bf16(d, reinterpret_cast<const uint16_t*>(p));
}
HWY_INLINE void store(DF d, VF v, float* p) { hn::StoreU(v, d, p); }
HWY_INLINE void store(DF d, VF v, bfloat16* p) { store_bf16(d, v, reinterpret_cast<uint16_t*>(p)); }

template <class T>
void softmax_grad_typed(int64_t n, const T* y, const T* dy, T* dx, int64_t begin, int64_t end) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t r = begin; r < end; ++r) {
    const T *py = y + r * n, *pdy = dy + r * n;
    T* to = dx + r * n;
    VF sum = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) sum = hn::MulAdd(load(d, py + i), load(d, pdy + i), sum);
    float along = hn::GetLane(hn::SumOfLanes(d, sum));
    for (; i < n; ++i) along += float(py[i]) * float(pdy[i]);
    const VF shift = hn::Set(d, along);
    for (i = 0; i + lanes <= n; i += lanes)
      store(d, hn::Mul(load(d, py + i), hn::Sub(load(d, pdy + i), shift)), to + i);
    for (; i < n; ++i) to[i] = T(float(py[i]) * (float(pdy[i]) - along));
  }
}

void softmax_grad_range(const RowsShape& s, const void* y, const void* dy, void* dx, int64_t begin,
                        int64_t end) {
  if (s.type == DType::f32)
    softmax_grad_typed(s.columns, static_cast<const float*>(y), static_cast<const float*>(dy),
                       static_cast<float*>(dx), begin, end);
  else
    softmax_grad_typed(s.columns, static_cast<const bfloat16*>(y), static_cast<const bfloat16*>(dy),
                       static_cast<bfloat16*>(dx), begin, end);
}

// dscale and dbias gain what rows [begin, end) give.
template <class T>
void layer_norm_grad_typed(int64_t n, const T* dy, const T* x, const float* scale,
                           const float* mean, const float* inv_std, T* dx, float* dscale,
                           float* dbias, int64_t begin, int64_t end) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t r = begin; r < end; ++r) {
    const T *pdy = dy + r * n, *px = x + r * n;
    T* to = dx + r * n;
    const float m = mean[r], inv = inv_std[r];
    const VF vm = hn::Set(d, m), vinv = hn::Set(d, inv);
    VF sums = hn::Zero(d), products = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      const VF v = load(d, pdy + i), h = hn::Mul(hn::Sub(load(d, px + i), vm), vinv);
      const VF g = hn::Mul(v, hn::LoadU(d, scale + i));
      sums = hn::Add(sums, g);
      products = hn::MulAdd(g, h, products);
      hn::StoreU(hn::MulAdd(v, h, hn::LoadU(d, dscale + i)), d, dscale + i);
      hn::StoreU(hn::Add(v, hn::LoadU(d, dbias + i)), d, dbias + i);
    }
    float sum = hn::GetLane(hn::SumOfLanes(d, sums));
    float product = hn::GetLane(hn::SumOfLanes(d, products));
    for (; i < n; ++i) {
      const float v = float(pdy[i]), h = (float(px[i]) - m) * inv;
      sum += v * scale[i];
      product += v * scale[i] * h;
      dscale[i] += v * h;
      dbias[i] += v;
    }
    const float mean_g = sum / float(n), mean_gh = product / float(n);
    const VF vg = hn::Set(d, mean_g), vgh = hn::Set(d, mean_gh);
    for (i = 0; i + lanes <= n; i += lanes) {
      const VF h = hn::Mul(hn::Sub(load(d, px + i), vm), vinv);
      const VF g = hn::Mul(load(d, pdy + i), hn::LoadU(d, scale + i));
      store(d, hn::Mul(vinv, hn::Sub(hn::Sub(g, vg), hn::Mul(h, vgh))), to + i);
    }
    for (; i < n; ++i) {
      const float h = (float(px[i]) - m) * inv;
      to[i] = T(inv * (float(pdy[i]) * scale[i] - mean_g - h * mean_gh));
    }
  }
}

void layer_norm_grad_range(const RowsShape& s, const void* dy, const void* x, const float* scale,
                           const float* mean, const float* inv_std, void* dx, float* dscale,
                           float* dbias, int64_t begin, int64_t end) {
  if (s.type == DType::f32)
    layer_norm_grad_typed(s.columns, static_cast<const float*>(dy), static_cast<const float*>(x),
                          scale, mean, inv_std, static_cast<float*>(dx), dscale, dbias, begin, end);
  else
    layer_norm_grad_typed(s.columns, static_cast<const bfloat16*>(dy),
                          static_cast<const bfloat16*>(x), scale, mean, inv_std,
                          static_cast<bfloat16*>(dx), dscale, dbias, begin, end);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>

#include "base/threads.h"

namespace espalier::kernels {
namespace {

HWY_EXPORT(softmax_grad_range);
HWY_EXPORT(layer_norm_grad_range);

/// Parts in which rows are summed over; their number depends on the shape alone.
int64_t parts_of(const RowsShape& s) {
  constexpr int64_t kMostParts = 16, kFewestElements = 1 << 13;
  return std::clamp<int64_t>(s.rows * s.columns / kFewestElements, 1, kMostParts);
}

void put(DType type, const float* from, int64_t n, void* to) {
  if (type == DType::f32)
    std::copy(from, from + n, static_cast<float*>(to));
  else
    for (int64_t i = 0; i < n; ++i) static_cast<bfloat16*>(to)[i] = bfloat16(from[i]);
}

}  // namespace

void softmax_grad_rows(const RowsShape& s, const void* y, const void* dy, void* dx) {
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(1, s.columns));
  parallel_for(s.rows, grain, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(softmax_grad_range)(s, y, dy, dx, b, e);
  });
}

size_t layer_norm_grad_scratch(const RowsShape& s) {
  return size_t(2 * parts_of(s) + 1) * size_t(s.columns) * sizeof(float);
}

void layer_norm_grad_rows(const RowsShape& s, const void* dy, const void* x, const void* scale,
                          DType scale_type, const float* mean, const float* inv_std, void* dx,
                          void* dscale, void* dbias, float* scratch) {
  const int64_t parts = parts_of(s), n = s.columns;
  float* sums = scratch + n;
  const auto* gains = static_cast<const float*>(scale);
  if (scale_type != DType::f32) {
    for (int64_t i = 0; i < n; ++i) scratch[i] = float(static_cast<const bfloat16*>(scale)[i]);
    gains = scratch;
  }
  parallel_chunks(parts, [&](int64_t part) {
    float* own = sums + 2 * part * n;
    std::fill(own, own + 2 * n, 0.0f);
    HWY_DYNAMIC_DISPATCH(layer_norm_grad_range)
    (s, dy, x, gains, mean, inv_std, dx, own, own + n, part * s.rows / parts,
     (part + 1) * s.rows / parts);
  });
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t i = 0; i < 2 * n; ++i) sums[i] += sums[2 * part * n + i];
  if (dscale) put(scale_type, sums, n, dscale);
  if (dbias) put(scale_type, sums + n, n, dbias);
}

void arg_max_rows(const RowsShape& s, const float* x, int64_t* at) {
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(1, s.columns));
  parallel_for(s.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * s.columns;
      at[r] = std::max_element(row, row + s.columns) - row;
    }
  });
}

}  // namespace espalier::kernels
#endif

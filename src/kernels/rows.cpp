#include "kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/quantise-inl.h"
#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

// A row in f32: where it lies, or widened into `buffer`.
const float* row_in(DType type, const void* x, int64_t row, int64_t n, float* buffer) {
  if (type == DType::f32) return static_cast<const float*>(x) + row * n;
  const auto* p = static_cast<const bfloat16*>(x) + row * n;
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(load_bf16(d, reinterpret_cast<const uint16_t*>(p + i)), d, buffer + i);
  for (; i < n; ++i) buffer[i] = float(p[i]);
  return buffer;
}

void row_out(DType type, const float* from, int64_t row, int64_t n, void* y) {
  if (type == DType::f32) return;  // was written in place
  auto* p = static_cast<bfloat16*>(y) + row * n;
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    store_bf16(d, hn::LoadU(d, from + i), reinterpret_cast<uint16_t*>(p + i));
  for (; i < n; ++i) p[i] = bfloat16(from[i]);
}

float row_max(const float* x, int64_t n) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  float best = x[0];
  int64_t i = 0;
  if (n >= lanes) {
    VF m = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) m = hn::Max(m, hn::LoadU(d, x + i));
    best = hn::GetLane(hn::MaxOfLanes(d, m));
  }
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

float row_sum(const float* x, int64_t n) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  VF s = hn::Zero(d), t = s;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    s = hn::Add(s, hn::LoadU(d, x + i));
    t = hn::Add(t, hn::LoadU(d, x + i + lanes));
  }
  float sum = n >= 2 * lanes ? hn::GetLane(hn::SumOfLanes(d, hn::Add(s, t))) : 0.0f;
  for (; i < n; ++i) sum += x[i];
  return sum;
}

// y = f(x) lane by lane; the tail through a small buffer.
template <class F>
HWY_INLINE void map_row(const float* x, float* y, int64_t n, F f) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(d, hn::LoadU(d, x + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float in[HWY_MAX_BYTES / 4] = {}, out[HWY_MAX_BYTES / 4];
  std::memcpy(in, x + i, size_t(n - i) * sizeof(float));
  hn::Store(f(d, hn::Load(d, in)), d, out);
  std::memcpy(y + i, out, size_t(n - i) * sizeof(float));
}

// log(sum(exp(x))) relative to the largest element; NaN anywhere gives NaN.
float exponentials(const float* x, float* y, int64_t n, float* top) {
  *top = row_max(x, n);
  const float shift = *top;
  map_row(x, y, n,
          [shift](DF d, VF v) HWY_ATTR { return exp_below_v(d, hn::Sub(v, hn::Set(d, shift))); });
  return row_sum(y, n);
}

void softmax_range(const RowsShape& s, const void* x, void* y, int64_t begin, int64_t end,
                   float* buffer) {
  for (int64_t r = begin; r < end; ++r) {
    const float* in = row_in(s.type, x, r, s.columns, buffer);
    float* out = s.type == DType::f32 ? static_cast<float*>(y) + r * s.columns : buffer;
    float top;
    const float inverse = 1.0f / exponentials(in, out, s.columns, &top);
    map_row(out, out, s.columns,
            [inverse](DF d, VF v) HWY_ATTR { return hn::Mul(v, hn::Set(d, inverse)); });
    row_out(s.type, out, r, s.columns, y);
  }
}

void log_softmax_range(const RowsShape& s, const void* x, void* y, int64_t begin, int64_t end,
                       float* buffer) {
  for (int64_t r = begin; r < end; ++r) {
    const float* in = row_in(s.type, x, r, s.columns, buffer);
    float* out = s.type == DType::f32 ? static_cast<float*>(y) + r * s.columns : buffer;
    float* spare = buffer + s.columns;
    float top;
    float sum = exponentials(in, spare, s.columns, &top);
    // Where one element is nearly all of the sum, the others count as what is added to it.
    float* most = std::find(spare, spare + s.columns, 1.0f);
    const bool found = most != spare + s.columns;
    if (found) {
      *most = 0.0f;
      sum = row_sum(spare, s.columns);
    }
    const float high = top, shift = found ? std::log1p(sum) : std::log(sum);
    // Two steps: top may be so large that adding the shift to it would round it away.
    map_row(in, out, s.columns, [high, shift](DF d, VF v) HWY_ATTR {
      return hn::Sub(hn::Sub(v, hn::Set(d, high)), hn::Set(d, shift));
    });
    row_out(s.type, out, r, s.columns, y);
  }
}

struct Statistics {
  float mean, inv_std;
};

/// One row; y may be x.
Statistics normalise(const float* x, const float* scale, const float* bias, float epsilon,
                     int64_t n, float* y) {
  const DF d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const float m = row_sum(x, n) / float(n);
  VF q = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF v = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, m));
    q = hn::MulAdd(v, v, q);
  }
  float var = hn::GetLane(hn::SumOfLanes(d, q));
  for (; i < n; ++i) var += (x[i] - m) * (x[i] - m);
  const float inv = 1.0f / std::sqrt(var / float(n) + epsilon);
  for (i = 0; i + lanes <= n; i += lanes) {
    VF v = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, m)), hn::Set(d, inv));
    if (scale) v = hn::Mul(v, hn::LoadU(d, scale + i));
    if (bias) v = hn::Add(v, hn::LoadU(d, bias + i));
    hn::StoreU(v, d, y + i);
  }
  for (; i < n; ++i) y[i] = (x[i] - m) * inv * (scale ? scale[i] : 1.0f) + (bias ? bias[i] : 0.0f);
  return {m, inv};
}

void layer_norm_range(const RowsShape& s, const void* x, const float* scale, const float* bias,
                      float epsilon, void* y, float* mean, float* inv_std, int64_t begin,
                      int64_t end, float* buffer) {
  const int64_t n = s.columns;
  for (int64_t r = begin; r < end; ++r) {
    float* out = s.type == DType::f32 ? static_cast<float*>(y) + r * n : buffer;
    const Statistics of = normalise(row_in(s.type, x, r, n, buffer), scale, bias, epsilon, n, out);
    row_out(s.type, out, r, n, y);
    if (mean) mean[r] = of.mean;
    if (inv_std) inv_std[r] = of.inv_std;
  }
}

void quantised_norm_range(const RowsShape& s, const float* x, const float* scale, const float* bias,
                          float epsilon, const Quantised& to, void* q, float* y, int64_t begin,
                          int64_t end, float* buffer) {
  const int64_t n = s.columns;
  for (int64_t r = begin; r < end; ++r) {
    float* out = y ? y + r * n : buffer;
    normalise(x + r * n, scale, bias, epsilon, n, out);
    store_quantised(out, to, static_cast<uint8_t*>(q) + r * n, size_t(n));
  }
}

void sum_range(const RowsShape& s, const void* x, float factor, void* y, int64_t begin, int64_t end,
               float* buffer) {
  for (int64_t r = begin; r < end; ++r) {
    const float sum = row_sum(row_in(s.type, x, r, s.columns, buffer), s.columns) * factor;
    if (s.type == DType::f32)
      static_cast<float*>(y)[r] = sum;
    else
      static_cast<bfloat16*>(y)[r] = bfloat16(sum);
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <vector>

#include "base/threads.h"

namespace espalier::kernels {
namespace {

HWY_EXPORT(softmax_range);
HWY_EXPORT(log_softmax_range);
HWY_EXPORT(layer_norm_range);
HWY_EXPORT(quantised_norm_range);
HWY_EXPORT(sum_range);

/// Calls body(begin, end, buffer of `columns` floats twice over) on ranges of rows.
template <class F>
void for_rows(const RowsShape& s, F body) {
  if (s.columns == 0) return;
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / s.columns);
  parallel_for(s.rows, grain, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> buffer;
    const size_t need = 2 * size_t(s.columns);
    if (buffer.size() < need) buffer.resize(need);
    body(begin, end, buffer.data());
  });
}

}  // namespace

void softmax_rows(const RowsShape& s, const void* x, void* y) {
  for_rows(s, [&](int64_t b, int64_t e, float* t) {
    HWY_DYNAMIC_DISPATCH(softmax_range)(s, x, y, b, e, t);
  });
}

void log_softmax_rows(const RowsShape& s, const void* x, void* y) {
  for_rows(s, [&](int64_t b, int64_t e, float* t) {
    HWY_DYNAMIC_DISPATCH(log_softmax_range)(s, x, y, b, e, t);
  });
}

void layer_norm_rows(const RowsShape& s, const void* x, const float* scale, const float* bias,
                     float epsilon, void* y, float* mean, float* inv_std) {
  for_rows(s, [&](int64_t b, int64_t e, float* t) {
    HWY_DYNAMIC_DISPATCH(layer_norm_range)(s, x, scale, bias, epsilon, y, mean, inv_std, b, e, t);
  });
}

void layer_norm_rows_quantised(const RowsShape& s, const float* x, const float* scale,
                               const float* bias, float epsilon, const Quantised& to, void* q,
                               float* y) {
  for_rows(s, [&](int64_t b, int64_t e, float* t) {
    HWY_DYNAMIC_DISPATCH(quantised_norm_range)(s, x, scale, bias, epsilon, to, q, y, b, e, t);
  });
}

void sum_columns(const RowsShape& s, const void* x, float factor, void* y) {
  if (s.columns == 0) {
    std::memset(y, 0, size_t(s.rows) * size_of(s.type));
    return;
  }
  for_rows(s, [&](int64_t b, int64_t e, float* t) {
    HWY_DYNAMIC_DISPATCH(sum_range)(s, x, factor, y, b, e, t);
  });
}

int64_t cross_entropy(const RowsShape& s, const float* x, const int64_t* labels, float smoothing,
                      float* loss, float* log_p, float* scratch) {
  float* out = log_p ? log_p : scratch;
  for (int64_t r = 0; r < s.rows; ++r)
    if (labels[r] < 0 || labels[r] >= s.columns) return r;
  log_softmax_rows(s, x, out);
  double sum = 0;
  for (int64_t r = 0; r < s.rows; ++r) {
    const float* row = out + r * s.columns;
    sum -= (1 - double(smoothing)) * double(row[labels[r]]);
    if (smoothing == 0) continue;
    double uniform = 0;
    for (int64_t k = 0; k < s.columns; ++k) uniform += double(row[k]);
    sum -= double(smoothing) * uniform / double(s.columns);
  }
  *loss = float(sum / double(s.rows));
  return -1;
}

int64_t cross_entropy_grad(const RowsShape& s, const float* log_p, const int64_t* labels,
                           float smoothing, float dloss, float* dx) {
  const float scale = dloss / float(s.rows), uniform = smoothing / float(s.columns);
  for (int64_t r = 0; r < s.rows; ++r) {
    if (labels[r] < 0 || labels[r] >= s.columns) return r;
    const float* p = log_p + r * s.columns;
    float* out = dx + r * s.columns;
    for (int64_t k = 0; k < s.columns; ++k) out[k] = (std::exp(p[k]) - uniform) * scale;
    out[labels[r]] -= (1 - smoothing) * scale;
  }
  return -1;
}

}  // namespace espalier::kernels
#endif

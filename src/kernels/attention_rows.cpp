// One query at a time, for decoders: a vector holds numbers of one key.
#include "kernels/attention_task.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_rows.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/attention_moves-inl.h"
#include "kernels/quantise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

/// scores[k] = q . k for `keys` keys, q of `size` numbers.
template <class T>
void row_scores(const float* q, const T* k, int64_t token, int64_t keys, int64_t size,
                float* scores) {
  const DF d;
  constexpr int64_t kTogether = 4;
  const int64_t whole = size / kLanes * kLanes;
  for (int64_t i = 0; i < keys; i += kTogether) {
    const T* row[kTogether];
    VF sum[kTogether];
    for (int64_t r = 0; r < kTogether; ++r) {
      row[r] = k + std::min(i + r, keys - 1) * token;
      sum[r] = hn::Zero(d);
    }
    for (int64_t c = 0; c < whole; c += kLanes) {
      const VF x = hn::LoadU(d, q + c);
      for (int64_t r = 0; r < kTogether; ++r) sum[r] = hn::MulAdd(x, load(d, row[r] + c), sum[r]);
    }
    for (int64_t r = 0; r < kTogether && i + r < keys; ++r) {
      float s = hn::GetLane(hn::SumOfLanes(d, sum[r]));
      for (int64_t c = whole; c < size; ++c) s += q[c] * to_float(row[r][c]);
      scores[i + r] = s;
    }
  }
}

/// sums[c] += sum over keys of p[key] v[key][c], for the columns of kVectors vectors.
template <int kVectors, class T>
HWY_INLINE void weigh(const float* p, const T* v, int64_t token, int64_t keys, float* sums) {
  const DF d;
  VF even[kVectors], odd[kVectors];
  for (int j = 0; j < kVectors; ++j) {
    even[j] = hn::LoadU(d, sums + j * kLanes);
    odd[j] = hn::Zero(d);
  }
  int64_t i = 0;
  for (; i + 2 <= keys; i += 2, v += 2 * token) {
    const VF a = hn::Set(d, p[i]), b = hn::Set(d, p[i + 1]);
    for (int j = 0; j < kVectors; ++j) {
      even[j] = hn::MulAdd(a, load(d, v + j * kLanes), even[j]);
      odd[j] = hn::MulAdd(b, load(d, v + token + j * kLanes), odd[j]);
    }
  }
  if (i < keys)
    for (int j = 0; j < kVectors; ++j)
      even[j] = hn::MulAdd(hn::Set(d, p[i]), load(d, v + j * kLanes), even[j]);
  for (int j = 0; j < kVectors; ++j) hn::StoreU(hn::Add(even[j], odd[j]), d, sums + j * kLanes);
}

template <class T>
void row_values(const float* p, const T* v, int64_t token, int64_t keys, int64_t values,
                float* sums) {
  int64_t c = 0;
  for (; c + 4 * kLanes <= values; c += 4 * kLanes) weigh<4>(p, v + c, token, keys, sums + c);
  for (; c + kLanes <= values; c += kLanes) weigh<1>(p, v + c, token, keys, sums + c);
  for (; c < values; ++c)
    for (int64_t i = 0; i < keys; ++i) sums[c] += p[i] * to_float(v[i * token + c]);
}

/// One query.
template <class T>
void run_row(const AttentionSpec& s, const AttentionTask<T>& t, int64_t query, float* memory) {
  const DF d;
  const RowBuffers b = row_buffers(s, memory);
  widen_row(t.q + query * s.q.token, s.q.feature, s.size, b.query);
  for (int64_t c = 0; c < s.size; ++c) b.query[c] *= s.scale;
  std::fill(b.sums, b.sums + s.values, 0.0f);
  float top = kNever, total = 0;
  const int64_t end = s.ahead ? std::min(s.keys, query + *s.ahead + 1) : s.keys;
  for (int64_t key = 0; key < end; key += kRowBlock) {
    const int64_t keys = std::min(kRowBlock, end - key);
    row_scores(b.query, t.k + key * s.k.token, s.k.token, keys, s.size, b.scores);
    for (size_t i = 0; i < s.masks.size(); ++i) {
      const AttentionSpec::Mask& mask = s.masks[i];
      const T* from = t.masks[i] + query * mask.query + key * mask.key;
      for (int64_t k = 0; k < keys; ++k) b.scores[k] += to_float(from[k * mask.key]);
    }
    // Lanes behind the last key see nothing.
    const int64_t padded = (keys + kLanes - 1) / kLanes * kLanes;
    std::fill(b.scores + keys, b.scores + padded, kNever);
    VF highest = hn::Set(d, top);
    for (int64_t k = 0; k < padded; k += kLanes)
      highest = hn::Max(highest, hn::Load(d, b.scores + k));
    const float before = top;
    top = hn::GetLane(hn::MaxOfLanes(d, highest));
    const VF shift = shift_of(d, hn::Set(d, top));
    const float kept = hn::GetLane(exp_below_v(d, hn::Sub(hn::Set(d, before), shift)));
    VF sum = hn::Zero(d);
    for (int64_t k = 0; k < padded; k += kLanes) {
      const VF p = exp_below_v(d, hn::Sub(hn::Load(d, b.scores + k), shift));
      sum = hn::Add(sum, p);
      hn::Store(p, d, b.scores + k);
    }
    total = total * kept + hn::GetLane(hn::SumOfLanes(d, sum));
    if (key > 0)
      for (int64_t c = 0; c < s.values; ++c) b.sums[c] *= kept;
    row_values(b.scores, t.v + key * s.v.token, s.v.token, keys, s.values, b.sums);
  }
  for (int64_t c = 0; c < s.values; ++c) b.sums[c] *= 1 / total;
  if (s.quantised)
    return store_quantised(b.sums, *s.quantised, t.quantised + query * s.y.token, size_t(s.values));
  T* y = t.y + query * s.y.token;
  if (s.y.feature == 1) return store_row(b.sums, s.values, y);
  for (int64_t c = 0; c < s.values; ++c) y[c * s.y.feature] = T(b.sums[c]);
}

void row_f32(const AttentionSpec& s, const AttentionTask<float>& t, int64_t query, float* memory) {
  run_row(s, t, query, memory);
}
void row_bf16(const AttentionSpec& s, const AttentionTask<bfloat16>& t, int64_t query,
              float* memory) {
  run_row(s, t, query, memory);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
namespace {

HWY_EXPORT(row_f32);
HWY_EXPORT(row_bf16);

}  // namespace

void attention_row(const AttentionSpec& s, const AttentionTask<float>& t, int64_t query,
                   float* memory) {
  HWY_DYNAMIC_DISPATCH(row_f32)(s, t, query, memory);
}
void attention_row(const AttentionSpec& s, const AttentionTask<bfloat16>& t, int64_t query,
                   float* memory) {
  HWY_DYNAMIC_DISPATCH(row_bf16)(s, t, query, memory);
}

}  // namespace espalier::kernels
#endif

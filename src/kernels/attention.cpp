#include "kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/attention_task.h"
#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

// Two ways to the same numbers. Many queries: a vector holds one number of as many queries as it
// has lanes, so that maxima, sums and scaling go down the lanes, keys and values are read as they
// lie, and only the queries are transposed. Few queries: a vector holds numbers of one key.

constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;
constexpr int kMostVectors = kManyRegisters ? 4 : 3;
constexpr int64_t kLanes = int64_t(hn::MaxLanes(DF()));
constexpr float kNever = -std::numeric_limits<float>::infinity();

HWY_INLINE float to_float(float v) { return v; }
HWY_INLINE float to_float(bfloat16 v) { return float(v); }

HWY_INLINE VF load(DF d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE VF load(DF d, const bfloat16* p) {
  return load_bf16(d, reinterpret_cast<const uint16_t*>(p));
}

/// What stands for a maximum in exponents: nothing seen yet counts as 0, so that it is forgotten.
HWY_INLINE VF shift_of(DF d, VF top) {
  return hn::IfThenElse(hn::Eq(top, hn::Set(d, kNever)), hn::Zero(d), top);
}

// ---- moving ------------------------------------------------------------------------------------

/// y[c * y_step + r] = factor x[r * x_step + c], four by four.
void transpose(const float* x, int64_t x_step, int64_t rows, int64_t columns, float factor,
               float* y, int64_t y_step) {
  int64_t r = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  const auto f = hn::Set(d, factor);
  for (; r + 4 <= rows; r += 4) {
    const float* from = x + r * x_step;
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const auto a0 = hn::LoadU(d, from + c), a1 = hn::LoadU(d, from + x_step + c);
      const auto a2 = hn::LoadU(d, from + 2 * x_step + c);
      const auto a3 = hn::LoadU(d, from + 3 * x_step + c);
      const auto low01 = hn::InterleaveLower(d, a0, a1), high01 = hn::InterleaveUpper(d, a0, a1);
      const auto low23 = hn::InterleaveLower(d, a2, a3), high23 = hn::InterleaveUpper(d, a2, a3);
      float* to = y + c * y_step + r;
      hn::StoreU(hn::Mul(f, hn::ConcatLowerLower(d, low23, low01)), d, to);
      hn::StoreU(hn::Mul(f, hn::ConcatUpperUpper(d, low23, low01)), d, to + y_step);
      hn::StoreU(hn::Mul(f, hn::ConcatLowerLower(d, high23, high01)), d, to + 2 * y_step);
      hn::StoreU(hn::Mul(f, hn::ConcatUpperUpper(d, high23, high01)), d, to + 3 * y_step);
    }
    for (; c < columns; ++c)
      for (int64_t i = 0; i < 4; ++i) y[c * y_step + r + i] = factor * from[i * x_step + c];
  }
#endif
  for (; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) y[c * y_step + r] = factor * x[r * x_step + c];
}

/// `columns` elements as f32, one after another.
template <class T>
void widen_row(const T* x, int64_t step, int64_t columns, float* y) {
  const DF d;
  int64_t c = 0;
  if (step == 1)
    for (; c + kLanes <= columns; c += kLanes) hn::StoreU(load(d, x + c), d, y + c);
  for (; c < columns; ++c) y[c] = to_float(x[c * step]);
}

/// Rows of a view as f32: where they lie, or widened into `buffer`.
struct Rows {
  const float* at;
  int64_t token, feature;
};
Rows rows_of(const float* x, int64_t token, int64_t feature, int64_t, int64_t, float*) {
  return {x, token, feature};
}
Rows rows_of(const bfloat16* x, int64_t token, int64_t feature, int64_t rows, int64_t columns,
             float* buffer) {
  for (int64_t r = 0; r < rows; ++r)
    widen_row(x + r * token, feature, columns, buffer + r * columns);
  return {buffer, columns, 1};
}

void transpose_rows(const Rows& x, int64_t rows, int64_t columns, float factor, float* y,
                    int64_t y_step) {
  if (x.feature == 1) return transpose(x.at, x.token, rows, columns, factor, y, y_step);
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t r = 0; r < rows; ++r)
      y[c * y_step + r] = factor * x.at[r * x.token + c * x.feature];
}

void store_row(const float* x, int64_t n, float* y) { std::memcpy(y, x, size_t(n) * sizeof *y); }
void store_row(const float* x, int64_t n, bfloat16* y) {
  const DF d;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    store_bf16(d, hn::LoadU(d, x + i), reinterpret_cast<uint16_t*>(y + i));
  for (; i < n; ++i) y[i] = bfloat16(x[i]);
}

// ---- many queries ------------------------------------------------------------------------------

/// sums[r][lane] = sum over c of x[r][c] y[c][lane], for kRows rows of x and the lanes of kVectors
/// vectors; where `kept`, on top of sums[r][lane] kept[lane].
template <int kRows, int kVectors>
HWY_INLINE void product(const float* x, int64_t x_row, int64_t x_column, const float* y, int64_t n,
                        const float* kept, float* sums) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  VF s[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      s[r][v] = kept ? hn::Mul(hn::Load(d, sums + r * kWidth + v * kLanes),
                               hn::Load(d, kept + v * kLanes))
                     : hn::Zero(d);
  for (int64_t c = 0; c < n; ++c, x += x_column, y += kWidth) {
    VF b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = hn::Load(d, y + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const VF a = hn::Set(d, x[r * x_row]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) s[r][v] = hn::MulAdd(a, b[v], s[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) hn::Store(s[r][v], d, sums + r * kWidth + v * kLanes);
}

/// The same for any number of rows.
template <int kVectors>
void products(const float* x, int64_t x_row, int64_t x_column, int64_t rows, const float* y,
              int64_t n, const float* kept, float* sums) {
  constexpr int kRows = kManyRegisters ? (kVectors == 4 ? 4 : 8) : (kVectors == 1 ? 8 : 4);
  constexpr int64_t kWidth = kVectors * kLanes;
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    product<kRows, kVectors>(x + r * x_row, x_row, x_column, y, n, kept, sums + r * kWidth);
  if (kRows > 4 && r + 4 <= rows) {
    product<4, kVectors>(x + r * x_row, x_row, x_column, y, n, kept, sums + r * kWidth);
    r += 4;
  }
  for (; r < rows; ++r)
    product<1, kVectors>(x + r * x_row, x_row, x_column, y, n, kept, sums + r * kWidth);
}

/// What masks add to a block of scores [key][query].
struct BlockMask {
  const float* keys = nullptr;   ///< the same for all queries
  const float* pairs = nullptr;  ///< as the scores lie
};

template <class T>
BlockMask block_mask(const AttentionSpec& s, const AttentionTask<T>& t, int64_t key, int64_t keys,
                     int64_t width, const TileBuffers& b) {
  BlockMask m;
  for (size_t i = 0; i < s.masks.size(); ++i) {
    const AttentionSpec::Mask& mask = s.masks[i];
    const T* from = t.masks[i] + key * mask.key;
    if (mask.query == 0) {
      for (int64_t k = 0; k < keys; ++k)
        b.key_mask[k] = (m.keys ? b.key_mask[k] : 0.0f) + to_float(from[k * mask.key]);
      m.keys = b.key_mask;
      continue;
    }
    from += t.first * mask.query;
    float* to = m.pairs ? b.more_mask : b.pair_mask;
    const Rows rows = rows_of(from, mask.query, mask.key, t.count, keys, b.widened);
    transpose_rows(rows, t.count, keys, 1, to, width);
    for (int64_t k = 0; k < keys; ++k)
      std::fill(to + k * width + t.count, to + (k + 1) * width, 0.0f);
    if (m.pairs)
      for (int64_t j = 0; j < keys * width; ++j) b.pair_mask[j] += b.more_mask[j];
    m.pairs = b.pair_mask;
  }
  return m;
}

/// Adds masks to the scores of keys from `key` on, and hides what lies behind; `top` becomes the
/// maximum with what it was.
template <int kVectors>
HWY_INLINE void mask_scores(const AttentionSpec& s, const BlockMask& mask, int64_t first,
                            int64_t count, int64_t key, int64_t keys, float* scores, VF* top) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  const bool hides = s.ahead && key + keys - 1 > first + *s.ahead;
  if (!mask.keys && !mask.pairs && !hides) {
    for (int64_t k = 0; k < keys; ++k)
      for (int v = 0; v < kVectors; ++v)
        top[v] = hn::Max(top[v], hn::Load(d, scores + k * kWidth + v * kLanes));
    return;
  }
  static_cast<void>(count);
  VF query[kVectors];
  for (int v = 0; v < kVectors; ++v) query[v] = hn::Iota(d, float(v * kLanes));
  for (int64_t k = 0; k < keys; ++k) {
    const VF add = hn::Set(d, mask.keys ? mask.keys[k] : 0.0f);
    // Query first + i sees key + k where first + i + ahead >= key + k.
    const VF sees = hn::Set(d, hides ? float(key + k - first - *s.ahead) : kNever);
    for (int v = 0; v < kVectors; ++v) {
      float* at = scores + k * kWidth + v * kLanes;
      VF x = hn::Add(hn::Load(d, at), add);
      if (mask.pairs) x = hn::Add(x, hn::Load(d, mask.pairs + k * kWidth + v * kLanes));
      x = hn::IfThenElse(hn::Ge(query[v], sees), x, hn::Set(d, kNever));
      hn::Store(x, d, at);
      top[v] = hn::Max(top[v], x);
    }
  }
}

/// Queries [first, first + count), which fit into kVectors vectors.
template <int kVectors, class T>
void run_tile(const AttentionSpec& s, const AttentionTask<T>& t, float* memory) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  const TileBuffers b = tile_buffers(s, kWidth, memory);
  transpose_rows(
      rows_of(t.q + t.first * s.q.token, s.q.token, s.q.feature, t.count, s.size, b.widened),
      t.count, s.size, s.scale, b.queries, kWidth);
  for (int64_t c = 0; c < s.size && t.count < kWidth; ++c)
    std::fill(b.queries + c * kWidth + t.count, b.queries + (c + 1) * kWidth, 0.0f);
  std::fill(b.sums, b.sums + s.values * kWidth, 0.0f);

  VF top[kVectors], total[kVectors];
  for (int v = 0; v < kVectors; ++v) top[v] = hn::Set(d, kNever), total[v] = hn::Zero(d);
  const int64_t end = s.ahead ? std::min(s.keys, t.first + t.count + *s.ahead) : s.keys;
  for (int64_t key = 0; key < end; key += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, end - key);
    const Rows k = rows_of(t.k + key * s.k.token, s.k.token, s.k.feature, keys, s.size, b.widened);
    products<kVectors>(k.at, k.token, k.feature, keys, b.queries, s.size, nullptr, b.scores);
    VF before[kVectors];
    for (int v = 0; v < kVectors; ++v) before[v] = top[v];
    mask_scores<kVectors>(s, block_mask(s, t, key, keys, kWidth, b), t.first, t.count, key, keys,
                          b.scores, top);
    VF shift[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      shift[v] = shift_of(d, top[v]);
      const VF kept = exp_below_v(d, hn::Sub(before[v], shift[v]));
      total[v] = hn::Mul(total[v], kept);
      hn::Store(kept, d, b.kept + v * kLanes);
    }
    for (int64_t i = 0; i < keys; ++i)
      for (int v = 0; v < kVectors; ++v) {
        float* at = b.scores + i * kWidth + v * kLanes;
        const VF p = exp_below_v(d, hn::Sub(hn::Load(d, at), shift[v]));
        total[v] = hn::Add(total[v], p);
        hn::Store(p, d, at);
      }
    const Rows x =
        rows_of(t.v + key * s.v.token, s.v.token, s.v.feature, keys, s.values, b.widened);
    products<kVectors>(x.at, x.feature, x.token, s.values, b.scores, keys, b.kept, b.sums);
  }

  for (int v = 0; v < kVectors; ++v) total[v] = hn::Div(hn::Set(d, 1.0f), total[v]);
  for (int64_t c = 0; c < s.values; ++c)
    for (int v = 0; v < kVectors; ++v) {
      float* at = b.sums + c * kWidth + v * kLanes;
      hn::Store(hn::Mul(hn::Load(d, at), total[v]), d, at);
    }
  T* y = t.y + t.first * s.y.token;
  if constexpr (std::is_same_v<T, float>) {
    if (s.y.feature == 1) return transpose(b.sums, kWidth, s.values, t.count, 1, y, s.y.token);
  }
  transpose(b.sums, kWidth, s.values, t.count, 1, b.widened, s.values);
  for (int64_t i = 0; i < t.count; ++i) {
    const float* row = b.widened + i * s.values;
    if (s.y.feature == 1)
      store_row(row, s.values, y + i * s.y.token);
    else
      for (int64_t c = 0; c < s.values; ++c) y[i * s.y.token + c * s.y.feature] = T(row[c]);
  }
}

// ---- few queries -------------------------------------------------------------------------------

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
  T* y = t.y + query * s.y.token;
  if (s.y.feature == 1) return store_row(b.sums, s.values, y);
  for (int64_t c = 0; c < s.values; ++c) y[c * s.y.feature] = T(b.sums[c]);
}

// ---- tasks -------------------------------------------------------------------------------------

/// Vectors of queries, the fewest tiles of them.
int64_t tiles(int64_t queries) {
  const int64_t vectors = (queries + kLanes - 1) / kLanes;
  return (vectors + kMostVectors - 1) / kMostVectors;
}

template <class T>
void run_part(const AttentionSpec& s, AttentionTask<T> t, int64_t tile, float* memory) {
  const int64_t vectors = (s.queries + kLanes - 1) / kLanes, count = tiles(s.queries);
  const int64_t begin = vectors * tile / count, end = vectors * (tile + 1) / count;
  t.first = begin * kLanes;
  t.count = std::min(s.queries, end * kLanes) - t.first;
  switch (end - begin) {
    case 1: return run_tile<1>(s, t, memory);
    case 2: return run_tile<2>(s, t, memory);
    case 3: return run_tile<3>(s, t, memory);
    default: return run_tile<kMostVectors>(s, t, memory);
  }
}

void part_f32(const AttentionSpec& s, const AttentionTask<float>& t, int64_t tile, float* memory) {
  run_part(s, t, tile, memory);
}
void part_bf16(const AttentionSpec& s, const AttentionTask<bfloat16>& t, int64_t tile,
               float* memory) {
  run_part(s, t, tile, memory);
}
void row_f32(const AttentionSpec& s, const AttentionTask<float>& t, int64_t query, float* memory) {
  run_row(s, t, query, memory);
}
void row_bf16(const AttentionSpec& s, const AttentionTask<bfloat16>& t, int64_t query,
              float* memory) {
  run_row(s, t, query, memory);
}
int64_t widest_tile() { return kMostVectors * kLanes; }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <hwy/aligned_allocator.h>

#include "base/threads.h"

namespace espalier::kernels {
namespace {

HWY_EXPORT(tiles);
HWY_EXPORT(widest_tile);
HWY_EXPORT(part_f32);
HWY_EXPORT(part_bf16);
HWY_EXPORT(row_f32);
HWY_EXPORT(row_bf16);

/// Up to so many queries, one at a time is faster: a vector of queries would be mostly empty.
constexpr int64_t kFewQueries = 4;
/// Multiply-accumulates that are worth another thread.
constexpr double kGrainMacs = 1 << 18;

/// A thread's memory, which only grows.
float* buffer(size_t floats) {
  thread_local hwy::AlignedFreeUniquePtr<float[]> memory;
  thread_local size_t held = 0;
  if (held < floats) {
    memory = hwy::AllocateAligned<float>(floats);
    held = floats;
  }
  return memory.get();
}

template <class T>
AttentionTask<T> task_of(const AttentionSpec& s, const AttentionOperands& o, int64_t head) {
  AttentionTask<T> t{static_cast<const T*>(o.q) + s.q.offset,
                     static_cast<const T*>(o.k) + s.k.offset,
                     static_cast<const T*>(o.v) + s.v.offset,
                     static_cast<T*>(o.y) + s.y.offset,
                     {},
                     0,
                     0};
  for (size_t i = 0; i < s.masks.size(); ++i)
    t.masks[i] = static_cast<const T*>(o.masks[i]) + s.masks[i].offset;
  for (size_t axis = s.heads.size(); axis-- > 0; head /= s.heads[axis]) {
    const int64_t at = head % s.heads[axis];
    t.q += at * s.q.heads[axis];
    t.k += at * s.k.heads[axis];
    t.v += at * s.v.heads[axis];
    t.y += at * s.y.heads[axis];
    for (size_t i = 0; i < s.masks.size(); ++i) t.masks[i] += at * s.masks[i].heads[axis];
  }
  return t;
}

template <class T, class Tile, class Row>
void run(const AttentionSpec& s, const AttentionOperands& o, Tile tile, Row row) {
  const bool by_rows = s.queries <= kFewQueries && s.k.feature == 1 && s.v.feature == 1;
  const int64_t width = HWY_DYNAMIC_DISPATCH(widest_tile)();
  const size_t floats = by_rows ? row_floats(s) : tile_floats(s, width);
  const int64_t parts = by_rows ? s.queries : HWY_DYNAMIC_DISPATCH(tiles)(s.queries);
  const int64_t tasks = numel(s.heads) * parts;
  const auto grain = std::max<int64_t>(1, int64_t(kGrainMacs * double(tasks) / s.macs()));
  parallel_for(tasks, grain, [&](int64_t begin, int64_t end) {
    float* memory = buffer(floats);
    for (int64_t i = begin; i < end; ++i) {
      const AttentionTask<T> t = task_of<T>(s, o, i / parts);
      by_rows ? row(s, t, i % parts, memory) : tile(s, t, i % parts, memory);
    }
  });
}

}  // namespace

double AttentionSpec::macs() const {
  return double(numel(heads)) * double(queries) * double(keys) * double(size + values);
}

void attention(const AttentionSpec& s, const AttentionOperands& o) {
  if (s.type == DType::f32)
    run<float>(s, o, HWY_DYNAMIC_DISPATCH(part_f32), HWY_DYNAMIC_DISPATCH(row_f32));
  else
    run<bfloat16>(s, o, HWY_DYNAMIC_DISPATCH(part_bf16), HWY_DYNAMIC_DISPATCH(row_bf16));
}

}  // namespace espalier::kernels
#endif

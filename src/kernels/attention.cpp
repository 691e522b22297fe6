#include "kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/attention_product-inl.h"
#include "kernels/quantise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Scales the scores of keys from `key` on by `factor`, adds masks, and hides what lies behind;
/// `top` becomes the maximum with what it was.
template <int kVectors>
HWY_INLINE void mask_scores(const AttentionSpec& s, const BlockMask& mask, float factor,
                            int64_t first, int64_t key, int64_t keys, float* scores, VF* top) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  const bool hides = s.ahead && key + keys - 1 > first + *s.ahead;
  if (!mask.keys && !mask.pairs && !hides && factor == 1) {
    for (int64_t k = 0; k < keys; ++k)
      for (int v = 0; v < kVectors; ++v)
        top[v] = hn::Max(top[v], hn::Load(d, scores + k * kWidth + v * kLanes));
    return;
  }
  VF query[kVectors];
  for (int v = 0; v < kVectors; ++v) query[v] = hn::Iota(d, float(v * kLanes));
  for (int64_t k = 0; k < keys; ++k) {
    const VF add = hn::Set(d, mask.keys ? mask.keys[k] : 0.0f);
    // Query first + i sees key + k where first + i + ahead >= key + k.
    const VF sees = hn::Set(d, hides ? float(key + k - first - *s.ahead) : kNever);
    for (int v = 0; v < kVectors; ++v) {
      float* at = scores + k * kWidth + v * kLanes;
      VF x = hn::MulAdd(hn::Load(d, at), hn::Set(d, factor), add);
      if (mask.pairs) x = hn::Add(x, hn::Load(d, mask.pairs + k * kWidth + v * kLanes));
      x = hn::IfThenElse(hn::Ge(query[v], sees), x, hn::Set(d, kNever));
      hn::Store(x, d, at);
      top[v] = hn::Max(top[v], x);
    }
  }
}

/// Queries [first, first + count), which fit into kVectors vectors; kPairs: products of bf16.
template <bool kPairs, int kVectors, class T>
void run_tile(const AttentionSpec& s, const AttentionTask<T>& t, float* memory) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  const TileBuffers b = tile_buffers(s, kWidth, memory);
  // Queries in bf16 are scaled as scores, which does not round them.
  const float factor = kPairs ? s.scale : 1;
  transpose_rows(
      rows_of(t.q + t.first * s.q.token, s.q.token, s.q.feature, t.count, s.size, b.widened),
      t.count, s.size, kPairs ? 1 : s.scale, b.queries, kWidth);
  for (int64_t c = 0; c < s.size && t.count < kWidth; ++c)
    std::fill(b.queries + c * kWidth + t.count, b.queries + (c + 1) * kWidth, 0.0f);
  if constexpr (kPairs) pair_up<kVectors>(b.queries, s.size);
  std::fill(b.sums, b.sums + s.values * kWidth, 0.0f);

  VF top[kVectors], total[kVectors];
  for (int v = 0; v < kVectors; ++v) top[v] = hn::Set(d, kNever), total[v] = hn::Zero(d);
  const int64_t end = s.ahead ? std::min(s.keys, t.first + t.count + *s.ahead) : s.keys;
  for (int64_t key = 0; key < end; key += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, end - key);
    const T* k = t.k + key * s.k.token;
    if constexpr (kPairs) {
      products<true, kVectors>(k, s.k.token, 2, keys, b.queries, s.size / 2, nullptr, b.scores);
    } else {
      const Rows x = rows_of(k, s.k.token, s.k.feature, keys, s.size, b.widened);
      products<false, kVectors>(x.at, x.token, x.feature, keys, b.queries, s.size, nullptr,
                                b.scores);
    }
    VF before[kVectors], shift[kVectors];
    for (int v = 0; v < kVectors; ++v) before[v] = top[v];
    mask_scores<kVectors>(s, block_mask(s, t, key, keys, kWidth, b), factor, t.first, key, keys,
                          b.scores, top);
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
    const T* v = t.v + key * s.v.token;
    if constexpr (kPairs) {
      pair_up<kVectors>(b.scores, keys);
      pair_rows(v, s.v.token, keys, s.values, b.widened);
      products<true, kVectors>(b.widened, 1, s.values, s.values, b.scores, (keys + 1) / 2, b.kept,
                               b.sums);
    } else {
      const Rows x = rows_of(v, s.v.token, s.v.feature, keys, s.values, b.widened);
      products<false, kVectors>(x.at, x.feature, x.token, s.values, b.scores, keys, b.kept, b.sums);
    }
  }

  for (int v = 0; v < kVectors; ++v) total[v] = hn::Div(hn::Set(d, 1.0f), total[v]);
  for (int64_t c = 0; c < s.values; ++c)
    for (int v = 0; v < kVectors; ++v) {
      float* at = b.sums + c * kWidth + v * kLanes;
      hn::Store(hn::Mul(hn::Load(d, at), total[v]), d, at);
    }
  if (s.quantised) {
    transpose(b.sums, kWidth, s.values, t.count, 1, b.widened, s.values);
    for (int64_t i = 0; i < t.count; ++i)
      store_quantised(b.widened + i * s.values, *s.quantised,
                      t.quantised + (t.first + i) * s.y.token, size_t(s.values));
    return;
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

// ---- tasks -------------------------------------------------------------------------------------

template <bool kPairs, class T>
void run_part(const AttentionSpec& s, AttentionTask<T> t, int64_t tile, float* memory) {
  const auto [begin, end] = vectors_of(s.queries, tile);
  t.first = begin * kLanes;
  t.count = std::min(s.queries, end * kLanes) - t.first;
  switch (end - begin) {
    case 1: return run_tile<kPairs, 1>(s, t, memory);
    case 2: return run_tile<kPairs, 2>(s, t, memory);
    case 3: return run_tile<kPairs, 3>(s, t, memory);
    default: return run_tile<kPairs, kMostVectors>(s, t, memory);
  }
}

void part_f32(const AttentionSpec& s, const AttentionTask<float>& t, int64_t tile, float* memory) {
  run_part<false>(s, t, tile, memory);
}
void part_bf16(const AttentionSpec& s, const AttentionTask<bfloat16>& t, int64_t tile,
               float* memory) {
  run_part<false>(s, t, tile, memory);
}
/// With the processor's products of bf16.
void part_pairs(const AttentionSpec& s, const AttentionTask<bfloat16>& t, int64_t tile,
                float* memory) {
  run_part<kManyRegisters && HWY_ARCH_X86>(s, t, tile, memory);
}
int64_t tiles(int64_t queries) { return tiles_of(queries); }
int64_t widest_tile() { return kMostVectors * kLanes; }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {
namespace {

HWY_EXPORT(tiles);
HWY_EXPORT(widest_tile);
HWY_EXPORT(part_f32);
HWY_EXPORT(part_bf16);
HWY_EXPORT(part_pairs);

/// Up to so many queries, one at a time is faster: a vector of queries would be mostly empty.
constexpr int64_t kFewQueries = 4;

bool has_pair_products() {
#if HWY_ARCH_X86
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
#else
  return false;
#endif
}

template <class T>
AttentionTask<T> task_of(const AttentionSpec& s, const AttentionOperands& o, int64_t head) {
  const AttentionPart p = part_of(s, head);
  AttentionTask<T> t{static_cast<const T*>(o.q) + p.q,
                     static_cast<const T*>(o.k) + p.k,
                     static_cast<const T*>(o.v) + p.v,
                     s.quantised ? nullptr : static_cast<T*>(o.y) + p.y,
                     s.quantised ? static_cast<uint8_t*>(o.y) + p.y : nullptr,
                     {},
                     0,
                     0};
  for (size_t i = 0; i < s.masks.size(); ++i)
    t.masks[i] = static_cast<const T*>(o.masks[i]) + p.masks[i];
  return t;
}

template <class T, class Tile>
void run(const AttentionSpec& s, const AttentionOperands& o, Tile tile) {
  const bool by_rows = s.few_queries() && s.k.feature == 1 && s.v.feature == 1;
  const int64_t width = HWY_DYNAMIC_DISPATCH(widest_tile)();
  const size_t floats = by_rows ? row_floats(s) : tile_floats(s, width);
  const int64_t parts = by_rows ? s.queries : HWY_DYNAMIC_DISPATCH(tiles)(s.queries);
  const int64_t tasks = numel(s.heads) * parts;
  const auto grain = std::max<int64_t>(1, int64_t(kGrainMacs * double(tasks) / s.macs()));
  parallel_for(tasks, grain, [&](int64_t begin, int64_t end) {
    float* memory = task_memory(floats);
    for (int64_t i = begin; i < end; ++i) {
      const AttentionTask<T> t = task_of<T>(s, o, i / parts);
      by_rows ? attention_row(s, t, i % parts, memory) : tile(s, t, i % parts, memory);
    }
  });
}

}  // namespace

double AttentionSpec::macs() const {
  return double(numel(heads)) * double(queries) * double(keys) * double(size + values);
}

bool AttentionSpec::few_queries() const { return queries <= kFewQueries; }

void attention(const AttentionSpec& s, const AttentionOperands& o) {
  if (s.type == DType::f32) return run<float>(s, o, HWY_DYNAMIC_DISPATCH(part_f32));
  const bool pairs = has_pair_products() && s.size % 2 == 0 && s.k.feature == 1 && s.v.feature == 1;
  run<bfloat16>(s, o, pairs ? HWY_DYNAMIC_DISPATCH(part_pairs) : HWY_DYNAMIC_DISPATCH(part_bf16));
}

}  // namespace espalier::kernels
#endif

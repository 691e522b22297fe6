#include "kernels/rounded_attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_attention.cpp"
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

using Rounding = std::optional<Quantised>;

/// Tokens [first, first + rows) of an operand as f32: where they lie, or in `buffer`.
Rows operand_rows(const void* x, const Rounding& stored, int64_t offset,
                  const AttentionSpec::View& at, int64_t first, int64_t rows, int64_t columns,
                  float* buffer) {
  offset += first * at.token;
  if (!stored) return {static_cast<const float*>(x) + offset, at.token, at.feature};
  const auto* bytes = static_cast<const uint8_t*>(x) + offset;
  for (int64_t r = 0; r < rows; ++r) {
    const uint8_t* row = bytes + r * at.token;
    float* to = buffer + r * columns;
    if (at.feature == 1)
      load_quantised(row, *stored, to, columns);
    else
      for (int64_t c = 0; c < columns; ++c)
        load_quantised(row + c * at.feature, *stored, to + c, 1);
  }
  return {buffer, columns, 1};
}

HWY_INLINE VF rounded(DF d, VF x, const Rounding& as) { return as ? read_back(d, x, *as) : x; }

/// Scores of a block of keys from their products, as softmax sees them.
template <int kVectors>
void finish_scores(const RoundedAttention& s, const BlockMask& mask, int64_t first, int64_t key,
                   int64_t keys, float* scores) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  const float factor = s.product ? s.form.scale : 1;
  const bool hides = s.form.ahead && key + keys - 1 > first + *s.form.ahead;
  for (int64_t k = 0; k < keys; ++k) {
    const VF add = hn::Set(d, mask.keys ? mask.keys[k] : 0.0f);
    const VF sees = hn::Set(d, hides ? float(key + k - first - *s.form.ahead) : kNever);
    for (int v = 0; v < kVectors; ++v) {
      float* at = scores + k * kWidth + v * kLanes;
      VF x = hn::Mul(rounded(d, hn::Load(d, at), s.product), hn::Set(d, factor));
      x = hn::Add(rounded(d, x, s.scaled), add);
      if (mask.pairs) x = hn::Add(x, hn::Load(d, mask.pairs + k * kWidth + v * kLanes));
      x = rounded(d, x, s.masked);
      const VF query = hn::Iota(d, float(v * kLanes));
      hn::Store(hn::IfThenElse(hn::Ge(query, sees), x, hn::Set(d, kNever)), d, at);
    }
  }
}

/// softmax down each lane, then rounded.
template <int kVectors>
void weights_of(const Rounding& as, int64_t keys, float* scores) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  for (int v = 0; v < kVectors; ++v) {
    float* at = scores + v * kLanes;
    VF top = hn::Set(d, kNever), total = hn::Zero(d);
    for (int64_t k = 0; k < keys; ++k) top = hn::Max(top, hn::Load(d, at + k * kWidth));
    const VF shift = shift_of(d, top);
    for (int64_t k = 0; k < keys; ++k) {
      const VF p = exp_below_v(d, hn::Sub(hn::Load(d, at + k * kWidth), shift));
      total = hn::Add(total, p);
      hn::Store(p, d, at + k * kWidth);
    }
    const VF inverse = hn::Div(hn::Set(d, 1.0f), total);
    for (int64_t k = 0; k < keys; ++k) {
      const VF p = hn::Mul(hn::Load(d, at + k * kWidth), inverse);
      hn::Store(rounded(d, p, as), d, at + k * kWidth);
    }
  }
}

void store_row(const RoundedAttention& s, const float* row, int64_t offset, void* y) {
  const AttentionSpec& f = s.form;
  if (f.quantised)
    return store_quantised(row, *f.quantised, static_cast<uint8_t*>(y) + offset, size_t(f.values));
  auto* to = static_cast<float*>(y) + offset;
  for (int64_t c = 0; c < f.values; ++c) to[c * f.y.feature] = row[c];
}

template <int kVectors>
void run_tile(const RoundedAttention& s, const AttentionOperands& o, const AttentionPart& p,
              float* memory) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  const AttentionSpec& f = s.form;
  const TileBuffers b = tile_buffers(f, kWidth, memory);
  float* scores = memory + b.floats;
  AttentionTask<float> t{};
  for (size_t i = 0; i < f.masks.size(); ++i)
    t.masks[i] = static_cast<const float*>(o.masks[i]) + p.masks[i];
  t.first = p.first;
  t.count = p.count;

  transpose_rows(operand_rows(o.q, s.q, p.q, f.q, p.first, p.count, f.size, b.widened), p.count,
                 f.size, s.product ? 1 : f.scale, b.queries, kWidth);
  for (int64_t c = 0; c < f.size && p.count < kWidth; ++c)
    std::fill(b.queries + c * kWidth + p.count, b.queries + (c + 1) * kWidth, 0.0f);
  const int64_t end = f.ahead ? std::min(f.keys, p.first + p.count + *f.ahead) : f.keys;
  for (int64_t key = 0; key < end; key += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, end - key);
    float* block = scores + key * kWidth;
    const Rows x = operand_rows(o.k, s.k, p.k, f.k, key, keys, f.size, b.widened);
    products<false, kVectors>(x.at, x.token, x.feature, keys, b.queries, f.size, nullptr, block);
    finish_scores<kVectors>(s, block_mask(f, t, key, keys, kWidth, b), p.first, key, keys, block);
  }
  weights_of<kVectors>(s.weights, end, scores);
  std::fill(b.kept, b.kept + kWidth, 1.0f);
  for (int64_t key = 0; key < end; key += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, end - key);
    const Rows x = operand_rows(o.v, s.v, p.v, f.v, key, keys, f.values, b.widened);
    products<false, kVectors>(x.at, x.feature, x.token, f.values, scores + key * kWidth, keys,
                              key > 0 ? b.kept : nullptr, b.sums);
  }
  if (s.result)
    for (int64_t i = 0; i < f.values * kWidth; i += kLanes)
      hn::Store(read_back(d, hn::Load(d, b.sums + i), *s.result), d, b.sums + i);
  transpose(b.sums, kWidth, f.values, p.count, 1, b.widened, f.values);
  for (int64_t i = 0; i < p.count; ++i)
    store_row(s, b.widened + i * f.values, p.y + (p.first + i) * f.y.token, o.y);
}

void run_part(const RoundedAttention& s, const AttentionOperands& o, AttentionPart p, int64_t tile,
              float* memory) {
  const auto [begin, end] = vectors_of(s.form.queries, tile);
  p.first = begin * kLanes;
  p.count = std::min(s.form.queries, end * kLanes) - p.first;
  switch (end - begin) {
    case 1: return run_tile<1>(s, o, p, memory);
    case 2: return run_tile<2>(s, o, p, memory);
    case 3: return run_tile<3>(s, o, p, memory);
    default: return run_tile<kMostVectors>(s, o, p, memory);
  }
}

int64_t tiles(int64_t queries) { return tiles_of(queries); }
size_t floats_of(const AttentionSpec& s) {
  constexpr int64_t kWidest = kMostVectors * kLanes;
  return tile_floats(s, kWidest) + size_t(s.keys * kWidest);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"
#include "base/threads.h"

namespace espalier::kernels {
namespace {

HWY_EXPORT(tiles);
HWY_EXPORT(floats_of);
HWY_EXPORT(run_part);

}  // namespace

void rounded_attention(const RoundedAttention& s, const AttentionOperands& o) {
  ESP_CHECK(!s.masked || !s.form.ahead, "what is hidden is not rounded");
  const int64_t parts = HWY_DYNAMIC_DISPATCH(tiles)(s.form.queries);
  const size_t floats = HWY_DYNAMIC_DISPATCH(floats_of)(s.form);
  const int64_t tasks = numel(s.form.heads) * parts;
  const auto grain = std::max<int64_t>(1, int64_t(kGrainMacs * double(tasks) / s.form.macs()));
  parallel_for(tasks, grain, [&](int64_t begin, int64_t end) {
    float* memory = task_memory(floats);
    for (int64_t i = begin; i < end; ++i)
      HWY_DYNAMIC_DISPATCH(run_part)(s, o, part_of(s.form, i / parts), i % parts, memory);
  });
}

}  // namespace espalier::kernels
#endif

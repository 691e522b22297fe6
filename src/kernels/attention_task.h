// What one task of the attention kernel works on, and its memory.
#pragma once

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <array>

#include "kernels/attention.h"

namespace espalier::kernels {

/// Keys whose scores are held at once: for a tile of queries, for one query.
constexpr int64_t kKeyBlock = 64, kRowBlock = 512;
/// Multiply-accumulates that are worth another thread.
constexpr double kGrainMacs = 1 << 18;

/// Where one head begins, in elements, and which of its queries.
struct AttentionPart {
  int64_t q, k, v, y;
  std::array<int64_t, kMostMasks> masks;
  int64_t first, count;
};

/// Head `head` of all, without queries.
inline AttentionPart part_of(const AttentionSpec& s, int64_t head) {
  AttentionPart p{s.q.offset, s.k.offset, s.v.offset, s.y.offset, {}, 0, 0};
  for (size_t i = 0; i < s.masks.size(); ++i) p.masks[i] = s.masks[i].offset;
  for (size_t axis = s.heads.size(); axis-- > 0; head /= s.heads[axis]) {
    const int64_t at = head % s.heads[axis];
    p.q += at * s.q.heads[axis];
    p.k += at * s.k.heads[axis];
    p.v += at * s.v.heads[axis];
    p.y += at * s.y.heads[axis];
    for (size_t i = 0; i < s.masks.size(); ++i) p.masks[i] += at * s.masks[i].heads[axis];
  }
  return p;
}

/// A thread's memory for tasks, which only grows.
inline float* task_memory(size_t floats) {
  thread_local hwy::AlignedFreeUniquePtr<float[]> memory;
  thread_local size_t held = 0;
  if (held < floats) {
    memory = hwy::AllocateAligned<float>(floats);
    held = floats;
  }
  return memory.get();
}

/// Addresses of one head, and which of its queries.
template <class T>
struct AttentionTask {
  const T *q, *k, *v;
  T* y;                ///< of real numbers …
  uint8_t* quantised;  ///< … or of 8-bit integers; the other is null
  std::array<const T*, kMostMasks> masks;
  int64_t first, count;
};

/// Memory of a tile of `width` queries; each part starts on a cache line.
struct TileBuffers {
  float* queries;    ///< [size][width], scaled
  float* scores;     ///< [kKeyBlock][width]
  float* sums;       ///< [values][width]
  float* kept;       ///< [width]: what is left of earlier sums
  float* key_mask;   ///< [kKeyBlock]
  float* pair_mask;  ///< [kKeyBlock][width]
  float* more_mask;  ///< likewise, before it is added
  float* widened;    ///< a block of keys, values or queries, or the result
  size_t floats;     ///< of all
};

/// Hands out memory piece by piece; only counts where there is none.
class Pieces {
 public:
  explicit Pieces(float* memory) : memory_(memory) {}
  float* take(int64_t floats) {
    float* at = memory_ ? memory_ + used_ : nullptr;
    used_ += (size_t(floats) + kLine - 1) / kLine * kLine;
    return at;
  }
  size_t used() const { return used_; }

 private:
  static constexpr size_t kLine = 64 / sizeof(float);
  float* memory_;
  size_t used_ = 0;
};

inline TileBuffers tile_buffers(const AttentionSpec& s, int64_t width, float* memory) {
  Pieces p(memory);
  TileBuffers b{};
  b.queries = p.take(s.size * width);
  b.scores = p.take(kKeyBlock * width);
  b.sums = p.take(s.values * width);
  b.kept = p.take(width);
  b.key_mask = p.take(kKeyBlock);
  b.pair_mask = p.take(kKeyBlock * width);
  b.more_mask = p.take(kKeyBlock * width);
  b.widened = p.take(std::max(width, kKeyBlock) * std::max({s.size, s.values, kKeyBlock}));
  b.floats = p.used();
  return b;
}
inline size_t tile_floats(const AttentionSpec& s, int64_t width) {
  return tile_buffers(s, width, nullptr).floats;
}

/// Memory of a single query.
struct RowBuffers {
  float *query, *scores, *sums;
  size_t floats;
};
inline RowBuffers row_buffers(const AttentionSpec& s, float* memory) {
  Pieces p(memory);
  RowBuffers b{};
  b.query = p.take(s.size);
  b.scores = p.take(kRowBlock);
  b.sums = p.take(s.values);
  b.floats = p.used();
  return b;
}
inline size_t row_floats(const AttentionSpec& s) { return row_buffers(s, nullptr).floats; }

/// One query, in memory of row_floats(); the numbers of a key and of a value lie side by side.
void attention_row(const AttentionSpec& s, const AttentionTask<float>& t, int64_t query,
                   float* memory);
void attention_row(const AttentionSpec& s, const AttentionTask<bfloat16>& t, int64_t query,
                   float* memory);

}  // namespace espalier::kernels

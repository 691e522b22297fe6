// Products and masks of tiles of queries, for the kernels of attention. Included once per
// instruction set.
#if defined(ESPALIER_ATTENTION_PRODUCT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_ATTENTION_PRODUCT_INL
#undef ESPALIER_ATTENTION_PRODUCT_INL
#else
#define ESPALIER_ATTENTION_PRODUCT_INL
#endif

#include "kernels/attention_moves-inl.h"
#include "kernels/attention_pairs-inl.h"
#include "kernels/attention_task.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

// A vector holds one number of as many queries as it has lanes, so that maxima, sums and scaling go
// down the lanes, keys and values are read as they lie, and only the queries are transposed.

constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;
constexpr int kMostVectors = kManyRegisters ? 4 : 3;

/// sums[r][lane] = sum over c of x[r][c] y[c][lane], for kRows rows of x and the lanes of kVectors
/// vectors; where `kept`, on top of sums[r][lane] kept[lane]. With kPairs, x[r][c] and y[c][lane]
/// are pairs of bf16 whose two products are added.
template <bool kPairs, int kRows, int kVectors, class X>
HWY_INLINE void product(const X* x, int64_t x_row, int64_t x_column, const float* y, int64_t n,
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
      const VF a = hn::Set(d, word(x + r * x_row));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) s[r][v] = multiply_add<kPairs>(a, b[v], s[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) hn::Store(s[r][v], d, sums + r * kWidth + v * kLanes);
}

/// The same for any number of rows.
template <bool kPairs, int kVectors, class X>
void products(const X* x, int64_t x_row, int64_t x_column, int64_t rows, const float* y, int64_t n,
              const float* kept, float* sums) {
  constexpr int kRows = kManyRegisters ? (kVectors == 4 ? 4 : 8) : (kVectors == 1 ? 8 : 4);
  constexpr int64_t kWidth = kVectors * kLanes;
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    product<kPairs, kRows, kVectors>(x + r * x_row, x_row, x_column, y, n, kept, sums + r * kWidth);
  if (kRows > 4 && r + 4 <= rows) {
    product<kPairs, 4, kVectors>(x + r * x_row, x_row, x_column, y, n, kept, sums + r * kWidth);
    r += 4;
  }
  for (; r < rows; ++r)
    product<kPairs, 1, kVectors>(x + r * x_row, x_row, x_column, y, n, kept, sums + r * kWidth);
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

/// Tiles of queries: the fewest whose vectors fit registers.
inline int64_t tiles_of(int64_t queries) {
  const int64_t vectors = (queries + kLanes - 1) / kLanes;
  return (vectors + kMostVectors - 1) / kMostVectors;
}

/// The vectors of queries of one tile.
struct TileVectors {
  int64_t begin, end;
};
inline TileVectors vectors_of(int64_t queries, int64_t tile) {
  const int64_t vectors = (queries + kLanes - 1) / kLanes, count = tiles_of(queries);
  return {vectors * tile / count, vectors * (tile + 1) / count};
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#endif

#include "kernels/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

// Plain loops over independent accumulators: vectorised by the compiler for each instruction set.
constexpr int64_t kLanes = 16;

template <Reduction how>
inline float combine(float a, float x) {
  if constexpr (how == Reduction::kMax) return a > x || a != a ? a : x;
  if constexpr (how == Reduction::kMin) return a < x || a != a ? a : x;
  if constexpr (how == Reduction::kSumSquare) return a + x * x;
  return a + x;
}

template <Reduction how>
inline float start() {
  if constexpr (how == Reduction::kMax) return -std::numeric_limits<float>::infinity();
  if constexpr (how == Reduction::kMin) return std::numeric_limits<float>::infinity();
  return 0;
}

template <Reduction how, class T>
float reduce_row(const T* x, int64_t n) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, start<how>());
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] = combine<how>(lanes[l], float(x[i + l]));
  for (int64_t l = 0; i + l < n; ++l) lanes[l] = combine<how>(lanes[l], float(x[i + l]));
  constexpr Reduction join = how == Reduction::kSumSquare ? Reduction::kSum : how;
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t l = 0; l < width; ++l) lanes[l] = combine<join>(lanes[l], lanes[l + width]);
  return lanes[0];
}

/// Works on the blocks [begin, end) of results, counted over all `outer`.
template <Reduction how, class T, class R>
void reduce_typed(const ReduceShape& s, const T* x, R* y, int64_t begin, int64_t end) {
  const float factor = how == Reduction::kMean ? 1.0f / float(s.count) : 1.0f;
  float sums[kReduceBlock];
  for (int64_t b = begin; b < end; ++b) {
    const int64_t o = b / s.blocks(), first = b % s.blocks() * kReduceBlock;
    const T* px = x + o * s.count * s.inner + first;
    if (s.inner == 1) {
      y[o] = R(reduce_row<how>(px, s.count) * factor);
      continue;
    }
    const int64_t n = std::min(kReduceBlock, s.inner - first);
    std::fill(sums, sums + n, start<how>());
    for (int64_t c = 0; c < s.count; ++c)
      for (int64_t i = 0; i < n; ++i) sums[i] = combine<how>(sums[i], float(px[c * s.inner + i]));
    for (int64_t i = 0; i < n; ++i) y[o * s.inner + first + i] = R(sums[i] * factor);
  }
}

template <class T, class R>
void reduce_any(Reduction how, const ReduceShape& s, const T* x, R* y, int64_t b, int64_t e) {
  switch (how) {
    case Reduction::kSum: return reduce_typed<Reduction::kSum>(s, x, y, b, e);
    case Reduction::kMean: return reduce_typed<Reduction::kMean>(s, x, y, b, e);
    case Reduction::kMax: return reduce_typed<Reduction::kMax>(s, x, y, b, e);
    case Reduction::kMin: return reduce_typed<Reduction::kMin>(s, x, y, b, e);
    case Reduction::kSumSquare: return reduce_typed<Reduction::kSumSquare>(s, x, y, b, e);
  }
}

template <class T>
void reduce_to(Reduction how, const ReduceShape& s, const T* x, void* y, int64_t b, int64_t e) {
  if (s.result == DType::f32)
    reduce_any(how, s, x, static_cast<float*>(y), b, e);
  else
    reduce_any(how, s, x, static_cast<bfloat16*>(y), b, e);
}

void reduce_range(Reduction how, const ReduceShape& s, const void* x, void* y, int64_t b,
                  int64_t e) {
  if (s.type == DType::f32)
    reduce_to(how, s, static_cast<const float*>(x), y, b, e);
  else
    reduce_to(how, s, static_cast<const bfloat16*>(x), y, b, e);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(reduce_range);

void reduce(Reduction how, const ReduceShape& s, const void* x, void* y) {
  const int64_t each = s.count * std::min(s.inner, kReduceBlock);
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, each));
  parallel_for(s.outer * s.blocks(), grain, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(reduce_range)(how, s, x, y, b, e);
  });
}

}  // namespace espalier::kernels
#endif

#include "kernels/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <vector>

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

template <Reduction how, class T>
void reduce_typed(const ReduceShape& s, const T* x, T* y, int64_t begin, int64_t end, float* sums) {
  const float factor = how == Reduction::kMean ? 1.0f / float(s.count) : 1.0f;
  for (int64_t o = begin; o < end; ++o) {
    const T* px = x + o * s.count * s.inner;
    if (s.inner == 1) {
      y[o] = T(reduce_row<how>(px, s.count) * factor);
      continue;
    }
    std::fill(sums, sums + s.inner, start<how>());
    for (int64_t c = 0; c < s.count; ++c)
      for (int64_t i = 0; i < s.inner; ++i)
        sums[i] = combine<how>(sums[i], float(px[c * s.inner + i]));
    for (int64_t i = 0; i < s.inner; ++i) y[o * s.inner + i] = T(sums[i] * factor);
  }
}

template <class T>
void reduce_any(Reduction how, const ReduceShape& s, const T* x, T* y, int64_t b, int64_t e,
                float* sums) {
  switch (how) {
    case Reduction::kSum: return reduce_typed<Reduction::kSum>(s, x, y, b, e, sums);
    case Reduction::kMean: return reduce_typed<Reduction::kMean>(s, x, y, b, e, sums);
    case Reduction::kMax: return reduce_typed<Reduction::kMax>(s, x, y, b, e, sums);
    case Reduction::kMin: return reduce_typed<Reduction::kMin>(s, x, y, b, e, sums);
    case Reduction::kSumSquare: return reduce_typed<Reduction::kSumSquare>(s, x, y, b, e, sums);
  }
}

void reduce_range(Reduction how, const ReduceShape& s, const void* x, void* y, int64_t b, int64_t e,
                  float* sums) {
  if (s.type == DType::f32)
    reduce_any(how, s, static_cast<const float*>(x), static_cast<float*>(y), b, e, sums);
  else
    reduce_any(how, s, static_cast<const bfloat16*>(x), static_cast<bfloat16*>(y), b, e, sums);
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
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, s.count * s.inner));
  parallel_for(s.outer, grain, [&](int64_t b, int64_t e) {
    thread_local std::vector<float> sums;
    if (int64_t(sums.size()) < s.inner) sums.resize(size_t(s.inner));
    HWY_DYNAMIC_DISPATCH(reduce_range)(how, s, x, y, b, e, sums.data());
  });
}

}  // namespace espalier::kernels
#endif

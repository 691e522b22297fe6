#include "kernels/few_bits.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/few_bits.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

// Plain loops over independent accumulators: vectorised by the compiler for each instruction set.
constexpr int64_t kLanes = 16;
/// Weights that are unpacked at a time, and rows of x that they meet.
constexpr int64_t kPart = 256, kRows = 32;

float dot(const float* a, const float* b, int64_t n) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  for (int64_t l = 0; i + l < n; ++l) lanes[l] += a[i + l] * b[i + l];
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  return lanes[0];
}

/// `n` weights from the start of a byte on; as many more as fill the last byte are written too.
template <int bits>
void unpack(const uint8_t* bytes, int64_t n, float zero, float scale, float* w) {
  constexpr int64_t each = 8 / bits;
  constexpr int mask = (1 << bits) - 1;
  for (int64_t i = 0; i < (n + each - 1) / each; ++i)
    for (int64_t j = 0; j < each; ++j)
      w[i * each + j] = (float(bytes[i] >> (j * bits) & mask) - zero) * scale;
}

float zero_of(const FewBits& s, const FewBitsOperands& in, int64_t n, int64_t block) {
  if (in.float_zeros) return in.float_zeros[n * s.blocks() + block];
  if (!in.zeros) return float(int64_t{1} << (s.bits - 1));
  const int64_t at = block * s.bits;
  const int byte = in.zeros[n * s.zero_bytes() + at / 8];
  return float(byte >> (at % 8) & ((1 << s.bits) - 1));
}

void product_range(const FewBits& s, const FewBitsOperands& in, float* y, int64_t begin,
                   int64_t end) {
  float w[kPart], sums[kRows];
  for (int64_t n = begin; n < end; ++n)
    for (int64_t m0 = 0; m0 < s.rows; m0 += kRows) {
      const int64_t rows = std::min(kRows, s.rows - m0);
      std::fill(sums, sums + rows, in.bias ? in.bias[n] : 0.0f);
      for (int64_t b = 0; b < s.blocks(); ++b) {
        const float zero = zero_of(s, in, n, b), scale = in.scales[n * s.blocks() + b];
        const uint8_t* bytes = in.w + (n * s.blocks() + b) * s.block_bytes();
        const int64_t length = std::min(s.block, s.k - b * s.block);
        for (int64_t o = 0; o < length; o += kPart) {
          const int64_t count = std::min(kPart, length - o);
          const uint8_t* part = bytes + o * s.bits / 8;
          if (s.bits == 4)
            unpack<4>(part, count, zero, scale, w);
          else if (s.bits == 2)
            unpack<2>(part, count, zero, scale, w);
          else
            unpack<8>(part, count, zero, scale, w);
          const float* x = in.x + m0 * s.k + b * s.block + o;
          for (int64_t m = 0; m < rows; ++m) sums[m] += dot(w, x + m * s.k, count);
        }
      }
      for (int64_t m = 0; m < rows; ++m) y[(m0 + m) * s.n + n] = sums[m];
    }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(product_range);

void few_bits_product(const FewBits& s, const FewBitsOperands& in, float* y) {
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, s.k * s.rows));
  parallel_for(s.n, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(product_range)(s, in, y, begin, end);
  });
}

}  // namespace espalier::kernels
#endif

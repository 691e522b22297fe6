#include "kernels/stream.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/stream.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Four accumulators, so that loads and not the chain of operations set the pace.
uint64_t read_words_here(const uint64_t* x, int64_t n) {
  const hn::ScalableTag<uint64_t> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (int64_t i = 0; i + 4 * lanes <= n; i += 4 * lanes) {
    a = hn::Xor(a, hn::LoadU(d, x + i));
    b = hn::Xor(b, hn::LoadU(d, x + i + lanes));
    c = hn::Xor(c, hn::LoadU(d, x + i + 2 * lanes));
    e = hn::Xor(e, hn::LoadU(d, x + i + 3 * lanes));
  }
  HWY_ALIGN uint64_t sums[HWY_MAX_BYTES / sizeof(uint64_t)];
  hn::StoreU(hn::Xor(hn::Xor(a, b), hn::Xor(c, e)), d, sums);
  uint64_t sum = 0;
  for (int64_t i = 0; i < lanes; ++i) sum ^= sums[i];
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(read_words_here);

uint64_t read_words(const uint64_t* x, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(read_words_here)(x, n);
}

}  // namespace espalier::kernels
#endif

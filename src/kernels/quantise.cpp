#include "kernels/quantise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantise.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/quantise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

void quantise_range(const float* x, const Quantised& to, void* y, size_t n) {
  store_quantised(x, to, y, n);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(quantise_range);

void quantise(const float* x, const Quantised& to, void* y, int64_t n) {
  // Below some ten thousand elements a second thread costs more than it brings.
  parallel_for(n, 1 << 14, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(quantise_range)
    (x + begin, to, static_cast<uint8_t*>(y) + begin, size_t(end - begin));
  });
}

}  // namespace espalier::kernels
#endif

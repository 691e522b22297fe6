// What our loops run on is what is said, and no more than ESPALIER_MAX_ISA allows
// (tests/bind/narrow_isa_test.sh).
#include "kernels/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/kernels/simd_test.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

int64_t running() { return HWY_TARGET; }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace espalier::kernels {
namespace {

HWY_EXPORT(running);

TEST(InstructionSet, IsWhatLoopsRunOn) {
  limit_instruction_set();
  for (int again = 0; again < 2; ++again) {
    const std::string ran = hwy::TargetName(HWY_DYNAMIC_DISPATCH(running)());
    EXPECT_EQ(ran, instruction_set());
    const char* limit = std::getenv("ESPALIER_MAX_ISA");
    const std::string_view most = limit ? limit : "";
    if (most == "AVX2") {
      EXPECT_EQ(ran, "AVX2");
    }
    if (most == "BASELINE") {
      EXPECT_EQ(ran, "SCALAR");
    }
  }
}

}  // namespace
}  // namespace espalier::kernels
#endif

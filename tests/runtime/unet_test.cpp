// What U-Nets are made of beside convolutions: transposed convolutions whose windows stand side by
// side, and concatenations, in float and in 8 bits, through compile().
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/primitive.h"
#include "tests/runtime/network.h"

namespace espalier {
namespace {

using Ints = std::vector<int64_t>;
using ::testing::HasSubstr;
using testing::kernels_of;
using testing::Network;
using ::testing::Not;

struct UNet : Network {
  ValueId up(ValueId x, ValueId w, ValueId bias, const Ints& strides) {
    return b.one("ConvTranspose", {x, w, bias}, {{"strides", strides}});
  }
  ValueId joined(const Values& parts, int64_t axis) {
    return b.one("Concat", parts, {{"axis", axis}});
  }
};

TEST(UNetParts, TilesInFloat) {
  for (const auto& [x, w] : {std::pair<Shape, Shape>{{2, 8, 5, 3}, {8, 6, 2, 3}},
                             {{1, 5, 7}, {5, 3, 4}},
                             {{2, 4, 2, 3, 2}, {4, 5, 2, 1, 3}}}) {
    UNet n;
    const Ints strides(w.begin() + 2, w.end());
    const ValueId y = n.up(n.input(x), n.weight(w), n.weight({w[1]}), strides);
    n.g.add_output(n.b.one("Relu", {y}));
    EXPECT_THAT(kernels_of(*n.check(1e-5, 1e-5)), HasSubstr("tiled conv")) << to_string(w);
  }
}

TEST(UNetParts, WindowsThatOverlapAreLeftAlone) {
  UNet n;
  n.g.add_output(n.up(n.input({1, 8, 5, 5}), n.weight({8, 6, 3, 3}), n.weight({6}), {2, 2}));
  EXPECT_THAT(kernels_of(*n.check(1e-5, 1e-5)), Not(HasSubstr("tiled conv")));
}

/// One step of the result is allowed, where rounding falls the other way.
constexpr float kStep = 0.02f;

TEST(UNetParts, TilesIn8Bits) {
  for (const auto& [type, zero] :
       {std::pair{DType::u8, 0}, {DType::u8, 37}, {DType::i8, 0}, {DType::i8, -9}}) {
    UNet n;
    const ValueId x = n.quantized(n.input({2, 16, 4, 6}), 1.0f / 120, zero, type);
    const ValueId y = n.up(x, n.quantized_weight({16, 12, 2, 2}, 1), n.weight({12}), {2, 2});
    n.g.add_output(n.quantized(y, kStep, zero, type));
    const auto program = n.check(0, 1.004 * double(kStep));
    if (!kernels::integer_sums_saturate()) {
      EXPECT_THAT(kernels_of(*program), HasSubstr("tiled conv"));
    }
  }
}

TEST(UNetParts, ConcatenationsOf8BitNumbersStayIn8Bits) {
  for (int64_t axis : {0, 1, 3}) {
    UNet n;
    Shape other = {2, 12, 4, 6};
    other[size_t(axis)] += 3;
    const ValueId a = n.quantized(n.input({2, 12, 4, 6}), 0.01f, 3, DType::u8);
    const ValueId c = n.quantized(n.input(other, -2, 2), 0.02f, -5, DType::i8);
    // The last has the result's numbers already.
    const ValueId d = n.quantized(n.input({2, 12, 4, 6}), kStep, 100, DType::u8);
    n.g.add_output(n.quantized(n.joined({a, c, d}, axis), kStep, 100, DType::u8));
    EXPECT_THAT(kernels_of(*n.check(0, 0)), HasSubstr("concat quantised")) << axis;
  }
}

}  // namespace
}  // namespace espalier

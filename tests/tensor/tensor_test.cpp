#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>

namespace espalier {
namespace {

TEST(Tensor, IsZeroFilledAndAligned) {
  Tensor t(DType::f32, {2, 3});
  EXPECT_EQ(t.size(), 6);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 64, 0u);
  for (float v : t.span<float>()) EXPECT_EQ(v, 0.0f);
}

TEST(Tensor, RefusesNegativeAndOverflowingShapes) {
  EXPECT_THROW(Tensor(DType::f32, {2, -1}), UserError);
  EXPECT_THROW(Tensor(DType::f32, {1ll << 40, 1ll << 40}), UserError);
}

TEST(Tensor, CastSaturatesAndRoundsHalvesToEven) {
  const auto t = Tensor::from<float>({4}, {300.7f, -300.0f, NAN, 1.5f});
  const auto i = t.cast(DType::i8);
  EXPECT_EQ(i.int_at(0), 127);
  EXPECT_EQ(i.int_at(1), -128);
  EXPECT_EQ(i.int_at(2), 0);
  EXPECT_EQ(i.int_at(3), 1);
  EXPECT_EQ(float(bfloat16(1.00390625f)), 1.0f);  // a tie goes to the even neighbour
}

TEST(Tensor, HalfRoundTripsEveryFiniteValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float16 h;
    h.bits = uint16_t(bits);
    if ((bits & 0x7C00) == 0x7C00) continue;
    ASSERT_EQ(float16(float(h)).bits, h.bits) << bits;
  }
  EXPECT_TRUE(std::isinf(float(float16(70000.0f))));
  EXPECT_TRUE(std::isnan(float(float16(NAN))));
}

TEST(Shape, BroadcastStrides) {
  EXPECT_EQ(broadcast_strides(Shape{3, 1}, Shape{2, 3, 4}), (std::vector<int64_t>{0, 1, 0}));
  EXPECT_EQ(normal_axis(-1, 4, "x"), 3);
  EXPECT_THROW(normal_axis(4, 4, "x"), UserError);
}

TEST(Shape, ChannelsMoveThereAndBack) {
  using Order = std::vector<int64_t>;
  EXPECT_EQ(to_channels_first(4), (Order{0, 3, 1, 2}));
  EXPECT_EQ(to_channels_last(4), (Order{0, 2, 3, 1}));
  EXPECT_EQ(to_channels_first(2), (Order{0, 1}));
  EXPECT_EQ(to_channels_last(2), (Order{0, 1}));
  for (int64_t rank = 2; rank < 7; ++rank) {
    const Order there = to_channels_first(rank), back = to_channels_last(rank);
    for (int64_t i = 0; i < rank; ++i) EXPECT_EQ(back[size_t(there[size_t(i)])], i) << rank;
  }
}

}  // namespace
}  // namespace espalier

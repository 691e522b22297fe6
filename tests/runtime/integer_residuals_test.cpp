// Residuals of 8-bit convolutions whose zero points are not zero, on both sides of the sum.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/network.h"

namespace espalier {
namespace {

using testing::kernels_of;
using testing::Network;

struct Form {
  DType residual, result;
  int residual_zero, result_zero;
  bool relu;
  int64_t channels;
};

TEST(IntegerResiduals, OfConvolutionsWithZeroPoints) {
  constexpr float kStep = 0.03f;
  for (const Form f :
       {Form{DType::u8, DType::u8, 0, 0, true, 16}, Form{DType::u8, DType::u8, 120, 110, false, 16},
        Form{DType::i8, DType::i8, -20, 30, false, 24},
        Form{DType::u8, DType::u8, 90, 20, true, 160},
        Form{DType::i8, DType::u8, -7, 100, true, 160}}) {
    Network n;
    const ValueId x = n.quantized(n.input({1, f.channels, 6, 6}), 1.0f / 127, 0, DType::u8);
    const ValueId other =
        n.quantized(n.input({1, f.channels, 6, 6}, -2, 2), 0.02f, f.residual_zero, f.residual);
    const ValueId w = n.quantized_weight({f.channels, f.channels, 3, 3}, 0);
    ValueId y = n.b.one("Conv", {x, w}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
    y = n.b.add(y, other);
    if (f.relu) y = n.b.one("Relu", {y});
    n.g.add_output(n.quantized(y, kStep, f.result_zero, f.result));
    const auto program = n.check(0, 1.004 * double(kStep));
    EXPECT_EQ(program->reference_count(), 0) << kernels_of(*program);
  }
}

}  // namespace
}  // namespace espalier

#include "kernels/register_loops.h"

#include <gtest/gtest.h>

#include "kernels/primitive.h"
#include "kernels/simd.h"

namespace espalier {
namespace {

TEST(RegisterLoops, RunWhereTheMachineHasTheInstruction) {
  for (const DType type : {DType::f32, DType::bf16, DType::i8})
    if (const auto loop = kernels::register_loop(type)) {
      EXPECT_GE(loop->macs_per_pass, 8 * 12) << name_of(type);
      loop->run(1000);
    }
}

TEST(RegisterLoops, AreAbsentWhereTilesMultiplyAndForOtherTypes) {
  EXPECT_FALSE(kernels::register_loop(DType::f64));
  EXPECT_FALSE(kernels::register_loop(DType::u8));
  if (kernels::has_matrix_tiles()) {
    EXPECT_FALSE(kernels::register_loop(DType::i8));
  }
}

}  // namespace
}  // namespace espalier

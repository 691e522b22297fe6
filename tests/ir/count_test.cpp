#include "ir/count.h"

#include <gtest/gtest.h>

namespace espalier {
namespace {

TEST(Count, ParametersAndWhatQuantisationMadeOfThem) {
  Graph g;
  g.add_constant("weight", Tensor(DType::f32, {3, 4}), Role::kParameter);
  g.add_constant("mean", Tensor(DType::f32, {3}), Role::kBuffer);
  g.add_constant("shape", Tensor(DType::i64, {2}));
  g.add_constant("scale", Tensor(DType::f32, {3}));
  EXPECT_EQ(parameter_count(g), 12);
  g.add_constant("weight_q", Tensor(DType::i8, {5, 4}));
  g.add_constant("zero_points", Tensor(DType::i8, {5}));
  g.add_constant("zero_point", Tensor(DType::u8, {}));
  g.add_constant("bias_q", Tensor(DType::i32, {5}));
  EXPECT_EQ(parameter_count(g), 12 + 20 + 5);
  EXPECT_EQ(constant_bytes(g), 48 + 12 + 16 + 12 + 20 + 5 + 1 + 20);
}

}  // namespace
}  // namespace espalier

#include "passes/float_interface.h"

#include <gtest/gtest.h>

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "ir/verify.h"

namespace espalier {
namespace {

Graph quantised_network() {
  Graph g;
  const ValueId x = g.add_input("x", TensorType(DType::i8, Shape{1, 2, 2}));
  const ValueId n = g.add_input("n", TensorType(DType::i8, Shape{4}));
  Builder b(g);
  const ValueId half = b.constant(Tensor::scalar(0.5f)),
                four = b.constant(Tensor::scalar<int8_t>(4));
  const ValueId moved = b.one("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId real = b.one("DequantizeLinear", {moved, half, four});
  const ValueId q = b.one("QuantizeLinear", {b.mul(real, 2.0), half, four});
  const ValueId y = b.reshape(q, {1, 4});
  g.rename(y, "y");
  g.add_output(y);
  g.add_output(b.one("Identity", {n}));  // plain integers
  return g;
}

TEST(FloatInterface, QuantisedEdgesBecomeFloatsAndKeepTheirNames) {
  const Graph g = with_float_interface(quantised_network());
  verify(g, "with_float_interface");
  EXPECT_EQ(to_string(g.value(g.inputs()[0]).type), "f32[1,2,2]");
  EXPECT_EQ(g.value(g.inputs()[0]).name, "x");
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[1,4]");
  EXPECT_EQ(g.value(g.outputs()[0]).name, "y");
  // Integers that stand for no numbers stay.
  EXPECT_EQ(to_string(g.value(g.inputs()[1]).type), "i8[4]");
  EXPECT_EQ(to_string(g.value(g.outputs()[1]).type), "i8[4]");
  const auto out =
      interpret(g, std::vector<Tensor>{Tensor::from<float>({1, 2, 2}, {1, 2, 3, -4.2f}),
                                       Tensor(DType::i8, {4})});
  // Rounded to halves, transposed, doubled.
  const float want[] = {2, 6, 4, -8};
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(out[0].at(i), want[i]);
}

TEST(FloatInterface, FloatNetworksStayAsTheyAre) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2}));
  g.add_output(b.one("Relu", {x}));
  EXPECT_EQ(print(with_float_interface(g)), print(g.compacted()));
}

}  // namespace
}  // namespace espalier

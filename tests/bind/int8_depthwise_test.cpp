// Which quantised convolutions the depthwise kernel takes, and why it leaves the others.
#include <gtest/gtest.h>

#include "bind/binder.h"
#include "ir/builder.h"
#include "ir/registry.h"
#include "kernels/int8_conv.h"

namespace espalier {
namespace {

/// An 8-bit convolution as a region with its bias, then a function, then its quantisation.
struct Region {
  Shape x = {1, 32, 9, 9}, w = {32, 1, 3, 3};
  int64_t groups = 32;
  DType x_type = DType::u8, y_type = DType::u8;
  const char* after = "Relu";
  int64_t stride = 1;
  bool quantized = true;

  Bound bind() const {
    Graph g;
    Builder b(g);
    const Type operand = TensorType(x_type, x);
    const ValueId in = g.add_input("x", operand);
    const ValueId scale = b.constant(Tensor::scalar(0.01f));
    const ValueId zero = b.constant(Tensor(x_type, {}));
    const ValueId weight = b.one(
        "DequantizeLinear", {b.constant(Tensor(DType::i8, w)), b.constant(Tensor::scalar(1.0f)),
                             b.constant(Tensor(DType::i8, {}))});
    ValueId y = b.one("Conv", {b.one("DequantizeLinear", {in, scale, zero}), weight},
                      {{"group", groups},
                       {"strides", std::vector<int64_t>{stride, stride}},
                       {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
    y = b.one(after, {y});
    if (quantized) y = b.one("QuantizeLinear", {y, scale, b.constant(Tensor(y_type, {}))});
    g.add_output(y);
    BindRequest r{find_room("espalier.Fused"), {}, TypesIn("", {}), {g.value(y).type}, {}, {true}};
    r.attrs = r.room->parse({{"body", std::make_shared<const Graph>(std::move(g))}}, "region");
    const std::vector<TypesIn::Operand> operands = {{&operand, nullptr}};
    r.in = TypesIn("region", operands);
    for (const Candidate& c : candidates_for(*r.room))
      if (c.name == "int8_depthwise") return c.bind(r);
    return Refuse{"there is no such kernel"};
  }

  std::string refusal() const {
    const Bound bound = bind();
    const auto* no = std::get_if<Refuse>(&bound);
    return no ? no->why : "";
  }
};

class Int8DepthwiseBinding : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kernels::int8_conv_available()) GTEST_SKIP() << "no AVX-512 VNNI here";
  }
};

TEST_F(Int8DepthwiseBinding, TakesAndKeepsItsWeights) {
  const Bound bound = Region().bind();
  ASSERT_TRUE(std::holds_alternative<KernelPtr>(bound)) << std::get<Refuse>(bound).why;
  const Kernel& kernel = *std::get<KernelPtr>(bound);
  EXPECT_EQ(kernel.name, "int8_depthwise avx512_vnni");
  EXPECT_EQ(kernel.operand_layout(0), Layout::kChannelsLast);
  EXPECT_EQ(kernel.result_layout(0), Layout::kChannelsLast);
  EXPECT_EQ(kernel.scratch_bytes, 0u);
  EXPECT_GE(kernel.packed_bytes, size_t(32 * 9));
  EXPECT_TRUE(kernel.in_place.empty());
  EXPECT_EQ(Region({.x_type = DType::i8, .y_type = DType::i8}).refusal(), "");
  EXPECT_EQ(Region({.quantized = false}).refusal(), "");
}

TEST_F(Int8DepthwiseBinding, SaysWhyNot) {
  EXPECT_EQ(Region({.w = {32, 32, 3, 3}, .groups = 1}).refusal(),
            "the convolution is not depthwise");
  EXPECT_EQ(Region({.w = {32, 2, 3, 3}, .groups = 16}).refusal(),
            "the convolution is not depthwise");
  EXPECT_EQ(Region({.w = {64, 1, 3, 3}}).refusal(), "not every channel has one window of its own");
  EXPECT_EQ(Region({.x = {1, 8, 9, 9}, .w = {8, 1, 3, 3}, .groups = 8}).refusal(),
            "it has fewer than 16 channels");
  EXPECT_EQ(Region({.w = {32, 1, 1, 3}}).refusal(),
            "its window is so small that oneDNN is as fast");
  EXPECT_EQ(
      Region({.x = {1, 24, 9, 9}, .w = {24, 1, 3, 3}, .groups = 24, .quantized = false}).refusal(),
      "for so few channels oneDNN's other results are as fast");
  EXPECT_EQ(Region({.x = {1, 40, 9, 9}, .w = {40, 1, 3, 3}, .groups = 40, .stride = 3}).refusal(),
            "its window shares so little with the next that oneDNN is as fast");
  EXPECT_EQ(Region({.after = "Tanh"}).refusal(), "the function after it is no cut-off");
  EXPECT_EQ(Region({.y_type = DType::u16}).refusal(), "the result is u16");
}

}  // namespace
}  // namespace espalier

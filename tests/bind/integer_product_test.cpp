// Which regions of 8-bit integers generated code takes where oneDNN's sums would not be exact; each
// agrees with its reference. Machines with VNNI skip all of it: tests/bind/narrow_isa_test.sh runs
// it without.
#include <gtest/gtest.h>

#include <cstdlib>

#include "bind/binder.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/registry.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/primitive.h"

namespace espalier {
namespace {

Tensor integers(DType type, const Shape& shape, int64_t step) {
  Tensor t(type, shape);
  for (int64_t i = 0; i < t.size(); ++i)
    static_cast<uint8_t*>(t.mutable_raw())[i] = uint8_t(i * step + i / 7);
  return t;
}

/// Around one operator: operands dequantised, a function, the result quantised.
struct Region {
  std::string op = "Conv";
  Shape x = {1, 24, 9, 9}, w = {40, 24, 3, 3};
  AttributeMap attrs = {{"strides", std::vector<int64_t>{2, 2}},
                        {"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  std::string after = "Relu";
  bool signed_weight = true;

  std::shared_ptr<const Graph> body() const {
    Graph g;
    Builder b(g);
    const ValueId in = g.add_input("x", TensorType(DType::u8, x));
    const auto scalar = [&](float v) { return b.constant(Tensor::scalar(v)); };
    const auto zero = [&](DType type, int v) {
      return b.constant(Tensor::scalar(float(v)).cast(type));
    };
    const DType type = signed_weight ? DType::i8 : DType::u8;
    const ValueId weight = b.one("DequantizeLinear",
                                 {b.constant(integers(type, w, 37)), scalar(0.02f), zero(type, 0)});
    ValueId y = b.one(
        op, {b.one("DequantizeLinear", {in, scalar(0.01f), zero(DType::u8, 9)}), weight}, attrs);
    y = b.one(after, {y});
    y = b.one("QuantizeLinear", {y, scalar(0.05f), zero(DType::u8, 3)});
    g.add_output(y);
    return std::make_shared<const Graph>(std::move(g));
  }

  /// The first kernel that takes it, and why those before did not.
  KernelPtr bind(std::string* refusals = nullptr) const {
    const auto graph = body();
    const Type operand = TensorType(DType::u8, x);
    BindRequest r{find_room("espalier.Fused"),
                  {},
                  TypesIn("", {}),
                  {graph->value(graph->outputs()[0]).type},
                  {},
                  {true}};
    r.attrs = r.room->parse({{"body", graph}}, "region");
    const std::vector<TypesIn::Operand> operands = {{&operand, nullptr}};
    r.in = TypesIn("region", operands);
    return bind_fast(r, [&](const std::string& why) {
      if (refusals) *refusals += why + "\n";
    });
  }

  /// Results that are more than a step from the reference's, which rounds sums of f32.
  int64_t wrong(const Kernel& kernel) const {
    const auto graph = body();
    const Tensor operand = integers(DType::u8, x, 11);
    const Tensor want = interpret(*graph, {&operand, 1})[0];
    const Layout layout = kernel.operand_layout(0);
    const auto move = [&](const void* from, Tensor& to, Layout a, Layout b) {
      const auto launch = reorder_kernel(to.dtype(), to.shape(), a, b)->launch();
      void* out = to.mutable_raw();
      launch->place({&from, 1}, {&out, 1}, nullptr);
      launch->run();
    };
    Tensor moved(operand.dtype(), operand.shape()), y(want.dtype(), want.shape());
    move(operand.raw(), moved, Layout::kPlain, layout);
    Tensor laid(want.dtype(), want.shape());
    void* scratch = std::aligned_alloc(64, (kernel.scratch_bytes + 127) / 64 * 64);
    const auto launch = kernel.launch();
    const void* in = moved.raw();
    void* out = laid.mutable_raw();
    launch->place({&in, 1}, {&out, 1}, scratch);
    launch->run();
    std::free(scratch);
    move(laid.raw(), y, kernel.result_layout(0), Layout::kPlain);
    int64_t count = 0;
    for (int64_t i = 0; i < y.size(); ++i) count += std::abs(y.int_at(i) - want.int_at(i)) > 1;
    return count;
  }
};

class IntegerProducts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kernels::integer_sums_saturate()) GTEST_SKIP() << "this machine has VNNI";
    if (!kernels::no_generated_kernels().empty()) GTEST_SKIP() << kernels::no_generated_kernels();
  }
};

TEST_F(IntegerProducts, RegionsWithoutVnni) {
  const AttributeMap none, depthwise = {{"group", int64_t{24}}};
  const std::pair<Region, std::string> cases[] = {
      {{}, "jit.int8_conv"},
      {{.w = {40, 24, 1, 1}, .attrs = none, .after = "Sigmoid"}, "jit.int8_conv"},
      {{.w = {40, 24, 5, 3}, .attrs = none}, "jit.int8_conv"},
      {{.w = {24, 1, 3, 3}, .attrs = depthwise}, "int8_depthwise f32"},
      {{.op = "MatMul", .x = {3, 7, 51}, .w = {51, 33}, .attrs = none, .after = "Tanh"},
       "jit.int8_matmul"},
      {{.op = "Gemm", .x = {17, 51}, .w = {33, 51}, .attrs = {{"transB", int64_t{1}}}},
       "jit.int8_matmul"},
  };
  for (const auto& [region, name] : cases) {
    std::string refusals;
    const KernelPtr kernel = region.bind(&refusals);
    ASSERT_TRUE(kernel) << name << "\n" << refusals;
    EXPECT_TRUE(kernel->name.starts_with(name)) << kernel->name << "\n" << refusals;
    EXPECT_GT(kernel->packed_bytes, 0u);
    EXPECT_EQ(region.wrong(*kernel), 0) << kernel->name;
  }
}

TEST_F(IntegerProducts, SayWhyRegionsRunInFloat) {
  const auto refusals = [](const Region& region) {
    std::string why;
    EXPECT_FALSE(region.bind(&why));
    return why;
  };
  const auto says = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  says(refusals({.signed_weight = false}), "the weight is not signed 8 bit");
  // Windows of 3x3 side by side over many channels.
  says(refusals({.x = {1, 64, 56, 56},
                 .w = {64, 64, 3, 3},
                 .attrs = {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}}),
       "f32 takes fewer multiplications");
  says(refusals({.w = {24, 2, 3, 3}, .attrs = {{"group", int64_t{12}}}}), "it has groups");
}

}  // namespace
}  // namespace espalier

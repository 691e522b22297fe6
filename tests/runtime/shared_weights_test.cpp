// Weights are held once: at many shapes, and while they are packed.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "runtime/session.h"

namespace espalier {
namespace {

/// Bytes this process holds in memory of its own.
int64_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
  return 0;
}

TEST(SharedWeights, ManyShapesHoldThemOnce) {
  constexpr int64_t kWidth = 2048;  // 16 MB
  constexpr int kShapes = 12;
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, {Dim::symbol("rows"), Dim(kWidth)}));
  Tensor w(DType::f32, {kWidth, kWidth});
  for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<float>()[i] = float(i % 7);
  g.add_output(b.matmul(x, b.constant(w)));
  Model model(std::move(g));
  model.run({Tensor(DType::f32, {1, kWidth})});
  const int64_t before = resident_bytes();
  if (before == 0) GTEST_SKIP() << "no /proc/self/status";
  for (int rows = 2; rows <= kShapes; ++rows) model.run({Tensor(DType::f32, {rows, kWidth})});
  EXPECT_EQ(model.compilations(), kShapes);
  // Kernels may want a second layout for longer inputs, not one for each.
  EXPECT_LT(resident_bytes() - before, 4 * kWidth * kWidth * 4);
}

TEST(SharedWeights, GoAsKernelsTakeThem) {
  constexpr int64_t kWidth = 64;
  std::vector<std::string> gone;
  const auto weight = [&](const std::string& name) {
    const auto values = std::make_shared<std::vector<float>>(size_t(kWidth * kWidth), 0.5f);
    const std::shared_ptr<const void> owner(
        values->data(), [&gone, name, values](const void*) { gone.push_back(name); });
    return Tensor(DType::f32, {kWidth, kWidth}, owner, values->data());
  };
  Graph g;
  Builder b(g);
  ValueId y = g.add_input("x", TensorType(DType::f32, Shape{8, kWidth}));
  // Backwards, so that the order is not that in which a graph lets go.
  std::vector<ValueId> weights;
  for (const char* name : {"third", "second", "first"})
    weights.push_back(g.add_constant(name, weight(name), Role::kParameter));
  for (size_t i = weights.size(); i-- > 0;) y = b.neg(b.matmul(y, weights[i]));
  g.add_output(y);
  const auto program = compile(std::move(g));
  EXPECT_EQ(gone, (std::vector<std::string>{"first", "second", "third"}));
}

}  // namespace
}  // namespace espalier

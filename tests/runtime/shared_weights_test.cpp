// A network run at many shapes holds its weights once.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

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

}  // namespace
}  // namespace espalier

// The weight gradient in parts: right, and the same bits on any number of threads.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "kernels/primitive.h"
#include "runtime/session.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

Tensor drawn(const Shape& shape, uint64_t stream, DType type) {
  Tensor t(DType::f32, shape);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(Rng(1, stream).uniform(uint64_t(i), -1, 1));
  return t.cast(type);
}

class GradWeight : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, GradWeight, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(GradWeight, InPartsGivesTheSameBitsOnAnyThreads) {
  if (GetParam() == DType::bf16 && !kernels::has_bf16()) GTEST_SKIP() << "no bf16 here";
  Graph g;
  Builder b(g);
  const DType type = GetParam();
  const ValueId x = g.add_input("x", TensorType(type, Shape{16, 8, 9, 9}));
  const ValueId dy = g.add_input("dy", TensorType(type, Shape{16, 12, 9, 9}));
  g.add_output(b.one("espalier.ConvGradWeight", {x, dy, b.ints({12, 8, 3, 3})},
                     {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}));
  const std::vector<Tensor> feed = {drawn({16, 8, 9, 9}, 1, type), drawn({16, 12, 9, 9}, 2, type)};
  std::vector<Tensor> results;
  for (const int threads : {1, 2, 3}) {
    CompileOptions options;
    options.threads = threads;
    options.strict = true;
    Session session(compile(g, options));
    bool parted = false;
    for (const InstructionInfo& i : session.program().instructions())
      parted = parted || i.kernel.ends_with("in 4 parts");
    EXPECT_TRUE(parted);
    results.push_back(session.run(feed).at(0));
    EXPECT_TRUE(results.back().identical(results.front())) << threads << " threads";
  }
  const Tensor want = interpret(g, feed).at(0);
  const double tolerance = type == DType::f32 ? 1e-4 : 1e-2;
  EXPECT_LE(testing::mismatch(results[0], want, tolerance, 20 * tolerance), 1);
}

}  // namespace
}  // namespace espalier

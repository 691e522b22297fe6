// The results of inference do not depend on the number of threads, to the bit: where sums are long
// and results few, it is tempting to divide the sums.
#include <gtest/gtest.h>

#include <array>

#include "base/rng.h"
#include "ir/builder.h"
#include "runtime/session.h"

namespace espalier {
namespace {

Tensor drawn(const Shape& shape, uint64_t stream) {
  Tensor t(DType::f32, shape);
  const Rng rng(1, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
  return t;
}

void expect_same_on_any_threads(const Graph& g, const Tensor& x) {
  std::vector<Tensor> results;
  for (const int threads : {1, 2, 3, 4}) {
    Session session(compile(g, {.threads = threads}));
    results.push_back(session.run({x}).at(0));
    EXPECT_TRUE(results.back().identical(results.front()))
        << threads << " threads: " << session.program().instructions().at(0).kernel;
  }
}

TEST(Threads, LongProducts) {
  for (const auto& [m, k, n] : {std::array<int64_t, 3>{1, 4096, 10},
                                {2, 16384, 3},
                                {8, 9216, 16},
                                {1, 30000, 1},
                                {128, 2048, 64}}) {
    SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(k) + " x " + std::to_string(n));
    Graph g;
    Builder b(g);
    const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{m, k}));
    g.add_output(b.matmul(x, g.add_constant("w", drawn({k, n}, 2))));
    expect_same_on_any_threads(g, drawn({m, k}, 1));
  }
}

TEST(Threads, DeepConvolutions) {
  for (const auto& [in, out, size] :
       {std::array<int64_t, 3>{512, 16, 4}, {1024, 8, 1}, {768, 33, 3}}) {
    SCOPED_TRACE(std::to_string(in) + " -> " + std::to_string(out));
    Graph g;
    Builder b(g);
    const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{1, in, size, size}));
    g.add_output(b.one("Conv", {x, g.add_constant("w", drawn({out, in, 3, 3}, 2))},
                       {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}));
    expect_same_on_any_threads(g, drawn({1, in, size, size}, 1));
  }
}

}  // namespace
}  // namespace espalier

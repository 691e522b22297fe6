// An integer region whose scales are bf16 gives bf16: the kernel once wrote f32 there, twice the
// bytes, over whatever lay behind the result.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "runtime/session.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

Tensor random(Shape shape, uint64_t stream, double lo, double hi) {
  Tensor t(DType::f32, std::move(shape));
  const Rng rng(3, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), lo, hi));
  return t;
}

struct Network {
  Graph g;
  Builder b{g};

  ValueId constant(const Tensor& t) { return b.constant(t); }
  ValueId scale(Shape shape, uint64_t stream) {
    return constant(random(std::move(shape), stream, 0.004, 0.008).cast(DType::bf16));
  }
  ValueId restored(ValueId integers) {
    return b.one("DequantizeLinear", {integers, scale({}, 1), constant(Tensor(DType::u8, {}))});
  }
  ValueId weight(Shape shape) {
    const int64_t channels = shape[0];
    const Tensor w = random(std::move(shape), 2, -100, 100).cast(DType::i8);
    return b.one("DequantizeLinear",
                 {constant(w), scale({channels}, 3), constant(Tensor(DType::i8, {channels}))},
                 {{"axis", int64_t{0}}});
  }
  ValueId bias(int64_t channels) {
    return constant(random({channels}, 4, -1, 1).cast(DType::bf16));
  }

  /// Runs give what the interpreter gives within bf16's rounding of results up to `magnitude`.
  void check(const Tensor& x, double magnitude) {
    const Tensor want = interpret(g, std::vector<Tensor>{x})[0];
    for (int threads : {1, 2}) {
      Session session(compile(g, {.threads = threads}));
      const Tensor got = session.run({x})[0];
      EXPECT_LE(testing::mismatch(got, want, 0.01, 0.01 * magnitude), 1) << threads << " threads";
    }
  }
};

TEST(IntegerSumsInBf16, MatrixProductsOfManyRows) {
  for (int64_t rows : {8, 50, 64, 96}) {
    SCOPED_TRACE(rows);
    Network n;
    const ValueId x = n.g.add_input("x", TensorType(DType::u8, Shape{rows, 100}));
    const ValueId y =
        n.b.one("Gemm", {n.restored(x), n.weight({10, 100}), n.bias(10)}, {{"transB", int64_t{1}}});
    ASSERT_EQ(n.b.type(y).dtype, DType::bf16);
    n.g.add_output(n.b.cast(y, DType::f32));
    n.check(random({rows, 100}, 9, 0, 255).cast(DType::u8), 10);
  }
}

TEST(IntegerSumsInBf16, Convolutions) {
  for (int64_t channels : {4, 32}) {
    SCOPED_TRACE(channels);
    Network n;
    const ValueId x = n.g.add_input("x", TensorType(DType::u8, Shape{3, channels, 9, 9}));
    const ValueId y = n.b.one("Conv", {n.restored(x), n.weight({16, channels, 3, 3}), n.bias(16)});
    n.g.add_output(n.b.cast(n.b.one("Relu", {y}), DType::f32));
    n.check(random({3, channels, 9, 9}, 9, 0, 255).cast(DType::u8), 20);
  }
}

}  // namespace
}  // namespace espalier

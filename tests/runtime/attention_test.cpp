// Attention as exporters spell it, through compile(): one kernel runs all of it, and agrees with
// the interpreter on the graph as it was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "runtime/session.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr float kLowest = std::numeric_limits<float>::lowest();

Tensor random(const Shape& shape, uint64_t stream) {
  const Rng rng(7, stream);
  Tensor t(DType::f32, shape);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -2, 2));
  return t;
}

struct Network {
  explicit Network(DType type = DType::f32) : type(type) {}

  ValueId input(const Shape& shape) {
    inputs.push_back(random(shape, inputs.size()).cast(type));
    return g.add_input("x" + std::to_string(inputs.size()), TensorType(type, shape));
  }
  /// [N,T,H D] as [N,H,T,D].
  ValueId heads(ValueId x, int64_t count, std::vector<int64_t> order = {0, 2, 1, 3}) {
    const Shape s = b.type(x).shape();
    return b.transpose(b.reshape(x, {s[0], s[1], count, s[2] / count}), std::move(order));
  }
  ValueId softmax(ValueId x) { return b.one("Softmax", {x}, {{"axis", int64_t{-1}}}); }
  ValueId joined(ValueId y) {
    const Shape s = b.type(y).shape();
    return b.reshape(b.transpose(y, {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
  }
  ValueId constant(const Tensor& t) { return b.constant(t.cast(type)); }

  std::string kernels(const CompileOptions& options = {}) const {
    std::string all;
    const auto program = compile(g, options);
    for (const auto& i : program->instructions()) all += i.kernel + "; ";
    return all;
  }
  /// One kernel runs it, on one thread or two with the same bits, as the interpreter would.
  void expect_one_kernel() {
    EXPECT_EQ(kernels(), "attention; ");
    expect_agreement({});
    expect_agreement({.disabled_passes = {"fuse_attention"}});
    EXPECT_THAT(kernels({.disabled_passes = {"fuse_attention"}}), Not(HasSubstr("attention")));
  }
  void expect_agreement(CompileOptions options) {
    const auto want = interpret(g, inputs);
    const double tolerance = type == DType::f32 ? 1e-5 : 3e-2;
    Tensor first;
    for (int threads : {1, 2}) {
      options.threads = threads;
      const auto got = Session(compile(g, options)).run(inputs);
      EXPECT_LE(testing::mismatch(got[0], want[0], tolerance, tolerance), 1);
      if (threads == 2 && options.disabled_passes.empty()) {
        EXPECT_TRUE(got[0].identical(first)) << "bits depend on the number of threads";
      }
      first = got[0].clone();
    }
  }

  DType type;
  Graph g;
  Builder b{g};
  std::vector<Tensor> inputs;
};

/// Zeros where key <= query + ahead, `value` elsewhere.
Tensor triangle(int64_t queries, int64_t keys, int64_t ahead, float value) {
  Tensor t(DType::f32, {1, 1, queries, keys});
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < keys; ++j)
      t.mutable_data<float>()[i * keys + j] = j <= i + ahead ? 0 : value;
  return t;
}

TEST(FusedAttention, AsPyTorchExportsIt) {
  for (DType type : {DType::f32, DType::bf16}) {
    Network n(type);
    const ValueId q = n.heads(n.input({2, 21, 24}), 3), k = n.heads(n.input({2, 21, 24}), 3);
    const ValueId v = n.heads(n.input({2, 21, 24}), 3);
    const ValueId scores = n.b.matmul(q, n.b.transpose(k, {0, 1, 3, 2}));
    const ValueId scaled = n.b.div(scores, n.constant(Tensor::scalar(std::sqrt(8.0f))));
    const ValueId masked = n.b.add(scaled, n.input({2, 1, 1, 21}));
    n.g.add_output(n.joined(n.b.matmul(n.softmax(masked), v)));
    n.expect_one_kernel();
  }
}

TEST(FusedAttention, OfOnePackedProjection) {
  // Split, then heads; scaled before the heads; keys transposed at once.
  Network n;
  const ValueId x = n.input({1, 19, 3 * 20});
  const Values parts = n.b.op("Split", {x, n.b.ints({20, 20, 20})}, {{"axis", int64_t{2}}});
  const ValueId q = n.heads(n.b.mul(parts[0], 0.3), 4), k = n.heads(parts[1], 4, {0, 2, 3, 1});
  const ValueId scores = n.b.matmul(q, k);
  n.g.add_output(n.joined(n.b.matmul(n.softmax(scores), n.heads(parts[2], 4))));
  n.expect_one_kernel();
}

TEST(FusedAttention, OfQueriesKeysAndValuesPickedFromOneTensor) {
  Network n;
  const ValueId x = n.b.reshape(n.input({2, 17, 3 * 2 * 5}), {2, 17, 3, 2, 5});
  const ValueId turned = n.b.transpose(x, {2, 0, 3, 1, 4});
  const auto pick = [&](int64_t i) {
    return n.b.one("Gather", {turned, n.b.constant(Tensor::scalar(i))}, {{"axis", int64_t{0}}});
  };
  const ValueId k = n.b.mul(n.b.transpose(pick(1), {0, 1, 3, 2}), 0.7);
  const ValueId scores = n.b.matmul(n.b.mul(pick(0), 0.7), k);
  n.g.add_output(n.joined(n.b.matmul(n.softmax(scores), pick(2))));
  n.expect_one_kernel();
}

TEST(FusedAttention, WithATriangleAdded) {
  for (float value : {kLowest, -std::numeric_limits<float>::infinity(), -10000.0f}) {
    Network n;
    const ValueId scores = n.b.matmul(n.input({1, 2, 40, 8}), n.input({1, 2, 8, 40}));
    const ValueId seen = n.b.add(scores, n.constant(triangle(40, 40, 0, value)));
    n.g.add_output(n.b.matmul(n.softmax(seen), n.input({1, 2, 40, 8})));
    n.expect_one_kernel();
  }
}

TEST(FusedAttention, WithATriangleChosen) {
  for (bool keeps : {true, false}) {
    Network n;
    const ValueId scores = n.b.matmul(n.input({2, 7, 8}), n.input({2, 8, 30}));
    // Queries behind 23 cached keys.
    Tensor seen(DType::boolean, {7, 30});
    for (int64_t i = 0; i < 7; ++i)
      for (int64_t j = 0; j < 30; ++j)
        seen.mutable_data<bool>()[i * 30 + j] = (j <= i + 23) == keeps;
    const ValueId never = n.constant(Tensor::scalar(kLowest)), choice = n.b.constant(seen);
    const ValueId chosen =
        keeps ? n.b.where(choice, scores, never) : n.b.where(choice, never, scores);
    n.g.add_output(n.b.matmul(n.softmax(chosen), n.input({2, 30, 9})));
    n.expect_one_kernel();
  }
}

TEST(FusedAttention, OfGroupsThatShareKeys) {
  // Each of two heads of keys for three heads of queries.
  Network n;
  const auto grouped = [&](ValueId x) {
    const ValueId apart = n.b.one("Unsqueeze", {x, n.b.ints({2})});
    return n.b.reshape(n.b.one("Expand", {apart, n.b.ints({1, 1, 3, 1, 1})}), {1, 6, 50, 8});
  };
  const ValueId k = n.b.transpose(grouped(n.input({1, 2, 50, 8})), {0, 1, 3, 2});
  const ValueId scores = n.b.matmul(n.input({1, 6, 2, 8}), k);
  n.g.add_output(n.b.matmul(n.softmax(n.b.mul(scores, 0.5)), grouped(n.input({1, 2, 50, 8}))));
  n.expect_one_kernel();
}

TEST(FusedAttention, WithSeveralMasks) {
  Network n;
  ValueId scores = n.b.matmul(n.input({2, 3, 18, 8}), n.input({2, 3, 8, 18}));
  scores = n.b.add(scores, n.input({1, 3, 18, 18}));
  scores = n.b.add(n.input({2, 1, 1, 18}), scores);
  scores = n.b.add(scores, n.constant(triangle(18, 18, 0, kLowest)));
  n.g.add_output(n.b.matmul(n.softmax(scores), n.input({2, 3, 18, 8})));
  n.expect_one_kernel();
}

TEST(FusedAttention, WithoutHeads) {
  Network n;
  const ValueId scores = n.b.matmul(n.input({33, 5}), n.b.transpose(n.input({65, 5}), {1, 0}));
  n.g.add_output(n.b.matmul(n.softmax(scores), n.input({65, 11})));
  n.expect_one_kernel();
}

TEST(FusedAttention, ThatIsStoredAsIntegers) {
  for (const int64_t queries : {2, 37})
    for (const DType stored : {DType::u8, DType::i8}) {
      Network n;
      const ValueId q = n.heads(n.input({2, queries, 24}), 3), k = n.heads(n.input({2, 37, 24}), 3);
      const ValueId scores = n.b.matmul(q, n.b.transpose(k, {0, 1, 3, 2}));
      const ValueId y = n.joined(n.b.matmul(n.softmax(scores), n.heads(n.input({2, 37, 24}), 3)));
      const ValueId scale = n.b.constant(Tensor::scalar(0.01f));
      const ValueId zero = n.b.constant(Tensor::scalar<int64_t>(-3).cast(DType::i8));
      const Values store = {scale,
                            stored == DType::i8 ? zero : n.b.constant(Tensor::scalar<uint8_t>(90))};
      const ValueId integers = n.b.one("QuantizeLinear", {y, store[0], store[1]});
      n.g.add_output(n.b.one("DequantizeLinear", {integers, store[0], store[1]}));
      EXPECT_EQ(n.kernels(), "attention quantised; pointwise dequantize; ");
      const auto want = interpret(n.g, n.inputs);
      const auto got = Session(compile(n.g)).run(n.inputs);
      // One step, where rounding falls the other way.
      EXPECT_LE(testing::mismatch(got[0], want[0], 0, 0.01004), 1);
    }
}

/// A quantisation and what reads it back, as quantisers put them on every edge.
struct Rounded : Network {
  ValueId rounded(ValueId x, float scale, int zero) {
    const ValueId s = g.add_constant("s" + std::to_string(g.value_count()), Tensor::scalar(scale));
    const ValueId z = g.add_constant("z" + std::to_string(g.value_count()),
                                     Tensor::scalar<uint8_t>(uint8_t(zero)));
    return b.one("DequantizeLinear", {b.one("QuantizeLinear", {x, s, z}), s, z});
  }
};

TEST(FusedAttention, OfAQuantisedGraph) {
  for (const bool everywhere : {false, true}) {
    Rounded n;
    const auto on = [&](ValueId x, float scale, int zero) {
      return everywhere ? n.rounded(x, scale, zero) : x;
    };
    const ValueId q = n.heads(n.rounded(n.input({2, 21, 24}), 0x1p-6f, 128), 3);
    const ValueId k = n.heads(n.rounded(n.input({2, 21, 24}), 0x1p-6f, 120), 3);
    const ValueId v = n.heads(n.rounded(n.input({2, 21, 24}), 0x1p-6f, 130), 3);
    ValueId s = on(n.b.matmul(q, n.b.transpose(k, {0, 1, 3, 2})), 0x1p-4f, 128);
    s = on(n.b.div(s, n.constant(Tensor::scalar(2.0f))), 0x1p-5f, 127);
    s = on(n.b.add(s, n.input({2, 1, 1, 21})), 0x1p-5f, 128);
    const ValueId p = n.rounded(n.softmax(s), 1.0f / 255, 0);
    const ValueId y = n.joined(on(n.b.matmul(p, v), 0x1p-6f, 128));
    n.g.add_output(n.rounded(y, 0x1p-6f, 128));
    EXPECT_EQ(n.kernels(),
              "quantize; quantize; quantize; attention rounded; pointwise dequantize; ");
    const auto want = interpret(n.g, n.inputs);
    const auto got = Session(compile(n.g)).run(n.inputs);
    // A weight whose rounding falls the other way, and that of the result.
    EXPECT_LE(testing::mismatch(got[0], want[0], 0, 2.01 / 64), 1);
  }
}

// Integers that somebody else reads, and roundings at two places in a row, stay outside.
TEST(FusedAttention, OfAQuantisedGraphItLeavesTheRest) {
  Rounded n;
  const ValueId q = n.rounded(n.input({2, 9, 8}), 0x1p-6f, 128);
  const ValueId s = n.b.matmul(q, n.rounded(n.input({2, 8, 9}), 0x1p-6f, 128));
  const ValueId twice = n.rounded(n.rounded(s, 0x1p-4f, 128), 0x1p-3f, 128);
  n.g.add_output(n.b.matmul(n.softmax(twice), n.input({2, 9, 8})));
  n.g.add_output(n.b.one("Neg", {q}));
  EXPECT_THAT(n.kernels(), Not(HasSubstr("attention")));
  const auto want = interpret(n.g, n.inputs);
  const auto got = Session(compile(n.g)).run(n.inputs);
  for (size_t i = 0; i < 2; ++i) EXPECT_LE(testing::mismatch(got[i], want[i], 1e-5, 1e-5), 1) << i;
}

TEST(FusedAttention, GoesByTheNameOfItsSoftmax) {
  Network n;
  const ValueId scores =
      n.b.op("MatMul", {n.input({2, 9, 8}), n.input({2, 8, 9})}, {}, "scores")[0];
  const ValueId p = n.b.op("Softmax", {scores}, {{"axis", int64_t{-1}}}, "layer3/softmax")[0];
  n.g.add_output(n.b.op("MatMul", {p, n.input({2, 9, 8})}, {}, "mix")[0]);
  const auto program = compile(n.g);
  ASSERT_EQ(program->instructions().size(), 1u);
  EXPECT_THAT(program->instructions()[0].node, HasSubstr("'layer3/softmax'"));
}

// What looks like it but is not stays as it was, and is right.

TEST(FusedAttention, LeavesWhatOthersRead) {
  Network n;
  const ValueId scores = n.b.matmul(n.input({2, 9, 8}), n.input({2, 8, 9}));
  const ValueId weights = n.softmax(scores);
  n.g.add_output(n.b.matmul(weights, n.input({2, 9, 8})));
  n.g.add_output(weights);
  EXPECT_THAT(n.kernels(), Not(HasSubstr("attention")));
  n.expect_agreement({});
}

TEST(FusedAttention, LeavesMovesThatOthersRead) {
  Network n;
  const ValueId k = n.heads(n.input({1, 9, 8}), 2);
  const ValueId scores = n.b.matmul(n.input({1, 2, 9, 4}), n.b.transpose(k, {0, 1, 3, 2}));
  n.g.add_output(n.b.matmul(n.softmax(scores), n.input({1, 2, 9, 4})));
  n.g.add_output(k);
  EXPECT_THAT(n.kernels(), HasSubstr("transpose; attention"));
  n.expect_agreement({});
}

TEST(FusedAttention, RefusesOtherChoicesAndScaledMasks) {
  Network wall;
  const ValueId scores = wall.b.matmul(wall.input({2, 9, 8}), wall.input({2, 8, 9}));
  const ValueId chosen = wall.b.where(wall.b.constant(triangle(9, 9, 0, 1).cast(DType::boolean)),
                                      scores, wall.constant(Tensor::scalar(-1.0f)));
  wall.g.add_output(wall.b.matmul(wall.softmax(chosen), wall.input({2, 9, 8})));
  EXPECT_THAT(wall.kernels(), Not(HasSubstr("attention")));
  wall.expect_agreement({});

  Network late;
  const ValueId sum =
      late.b.add(late.b.matmul(late.input({9, 8}), late.input({8, 9})), late.input({1, 9}));
  late.g.add_output(late.b.matmul(late.softmax(late.b.mul(sum, 0.5)), late.input({9, 8})));
  EXPECT_THAT(late.kernels(), Not(HasSubstr("attention")));
  late.expect_agreement({});
}

TEST(FusedAttention, RefusedRegionsRunAsTheirParts) {
  // Wide floats: no kernel but the reference takes them.
  Network n(DType::f64);
  const ValueId scores = n.b.matmul(n.input({2, 9, 8}), n.input({2, 8, 9}));
  const ValueId masked = n.b.add(n.b.mul(scores, 0.5), n.input({2, 1, 9}));
  n.g.add_output(n.b.matmul(n.softmax(masked), n.input({2, 9, 8})));
  std::string reasons;
  CompileOptions options;
  options.explain = [&](const std::string& line) { reasons += line + "\n"; };
  EXPECT_THAT(n.kernels(options), Not(HasSubstr("attention")));
  EXPECT_THAT(reasons, HasSubstr("attention does not apply: the operands are f64"));
  n.expect_agreement({.disabled_passes = {}});
}

}  // namespace
}  // namespace espalier

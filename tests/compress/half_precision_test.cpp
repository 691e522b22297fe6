#include "compress/half_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "compress/calibrate.h"
#include "compress/output_error.h"
#include "compress/quantize.h"
#include "ir/integer_coding.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/passes.h"
#include "tests/compress/cuts.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

Graph quantised_mlp() {
  const Graph prepared = prepared_for_quantization(testing::mlp());
  Calibrator c(prepared, RangeMethod::kMinMax);
  c.observe(testing::random_inputs(prepared, 8, 1));
  return quantize(prepared, c.ranges());
}

size_t constant_bytes(const Graph& g) {
  size_t bytes = 0;
  for (ValueId v : g.constants()) bytes += g.value(v).constant->bytes();
  return bytes;
}

TEST(HalfPrecision, QuantisedNetworksAreRefused) {
  const Graph q = quantised_mlp();
  for (auto* lower : {to_bf16, with_bf16_weights}) {
    try {
      lower(q);
      FAIL();
    } catch (const UserError& e) {
      EXPECT_EQ(e.code(), ExitCode::kUnsupported);
      EXPECT_THAT(e.problem(), HasSubstr("quantised to integers already"));
    }
  }
}

TEST(HalfPrecision, WeightsInBf16KeepTypesAndArithmetic) {
  for (const Graph& g : {testing::mlp(), testing::residual(), testing::depthwise()}) {
    const Graph prepared = prepared_for_quantization(g);
    const Graph half = with_bf16_weights(prepared);
    EXPECT_EQ(violation(half), "");
    EXPECT_LT(double(constant_bytes(half)), 0.55 * double(constant_bytes(prepared)));
    for (NodeId id : half.order())
      for (ValueId v : half.node(id).outputs)
        if (half.value(v).type.is_tensor()) {
          EXPECT_NE(half.value(v).tensor().dtype, DType::bf16);
        }
    const auto x = testing::random_inputs(prepared, 8, 7);
    const Tensor want = interpret(prepared, x)[0], got = interpret(half, x)[0];
    double error = 0, energy = 0;
    for (int64_t i = 0; i < want.size(); ++i) {
      error += (got.at(i) - want.at(i)) * (got.at(i) - want.at(i));
      energy += want.at(i) * want.at(i);
    }
    EXPECT_GT(error, 0);
    EXPECT_LT(error, 1e-4 * energy);
  }
}

/// Rows times W on integers, added to the rows; exchanged axes, and the rest of a block.
Graph block_of_rows() {
  testing::NetworkWriter w("rows");
  const ValueId x = w.graph.add_input("x", TensorType(DType::f32, Dims{Dim(4), Dim(6), Dim(16)}));
  const auto product = [&](ValueId v, int64_t out, const std::string& name) {
    return w.b.one("MatMul", {v, w.parameter(name, {16, out}, -0.4, 0.4)});
  };
  const ValueId scores =
      w.b.one("MatMul", {product(x, 16, "q"), w.b.one("Transpose", {product(x, 16, "k")},
                                                      {{"perm", std::vector<int64_t>{0, 2, 1}}})});
  const ValueId mixed = w.b.one("MatMul", {w.b.one("Softmax", {scores}), product(x, 16, "v")});
  const ValueId moved = w.b.one(
      "Transpose", {w.b.one("Transpose", {mixed}, {{"perm", std::vector<int64_t>{1, 0, 2}}})},
      {{"perm", std::vector<int64_t>{1, 0, 2}}});
  const ValueId sum = w.b.one("Add", {x, product(moved, 16, "out")});
  return w.finish(product(w.relu(product(sum, 16, "up")), 5, "down"));
}

TEST(HalfPrecision, BesideIntegersWhatMovesIsNarrowAndProductsLeaveNarrow) {
  const Graph prepared = prepared_for_quantization(block_of_rows());
  Calibrator c(prepared, RangeMethod::kMinMax);
  for (uint64_t i = 0; i < 4; ++i) c.observe(testing::random_inputs(prepared, 1, i));
  const Graph q = quantize(prepared, c.ranges());
  const Graph beside = to_bf16_beside(q, {});
  for (NodeId id : beside.order())
    if (beside.node(id).room->op.name == "Transpose")
      EXPECT_EQ(beside.value(beside.node(id).outputs[0]).tensor().dtype, DType::bf16)
          << describe(beside, id);
  Graph lowered = beside;
  run_passes(lowered, {});
  // What is left: the input narrows, and what is stored as integers widens before.
  int narrowing = 0;
  for (NodeId id : lowered.order()) {
    const Node& n = lowered.node(id);
    narrowing +=
        n.room->op.name == "Cast" && lowered.value(n.outputs[0]).tensor().dtype == DType::bf16;
  }
  EXPECT_LE(narrowing, 1);
  const std::vector<Tensor> x = testing::random_inputs(prepared, 1, 9);
  EXPECT_LT(OutputError(prepared, {&x, 1}).of(beside), 0.03);
}

TEST(IntegerCoding, IsWhatScalesNotWhatConverts) {
  EXPECT_NE(integer_coding(quantised_mlp()), kNoNode);
  EXPECT_EQ(integer_coding(testing::residual()), kNoNode);
  EXPECT_EQ(integer_coding(to_bf16(prepared_for_quantization(testing::residual()))), kNoNode);
  const Graph pictures = parse_graph(
      "graph \"g\"(%x: u8[N,2]) -> (%y) {\n  %s = constant f32[] [0.5]\n"
      "  %f: f32[N,2] = Cast(%x) {to = 1}\n  %y: f32[N,2] = Mul(%f, %s)\n}\n");
  EXPECT_EQ(integer_coding(pictures), kNoNode);
}

}  // namespace
}  // namespace espalier

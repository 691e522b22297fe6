// Networks whose frozen part is on integers: what changes, what stays, and the step that trains the
// rest.
#include "compress/frozen_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "compress/output_error.h"
#include "compress/quantize.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "passes/passes.h"
#include "tests/support/error_of.h"
#include "tests/support/networks.h"
#include "train/selection.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using ::espalier::testing::error_of;
using ::testing::HasSubstr;

std::vector<std::vector<Tensor>> batches_for(const Graph& g) {
  std::vector<std::vector<Tensor>> batches;
  for (uint64_t i = 0; i < 4; ++i) batches.push_back(testing::random_inputs(g, 8, 100 + i));
  return batches;
}

std::set<std::string> last_layers(const Graph& g, int64_t count) {
  return selected_parameters(g, {{.last_layers = count}});
}

int count_of(const Graph& g, const std::string& op) {
  int n = 0;
  for (NodeId id : g.order()) n += g.node(id).room->op.name == op;
  return n;
}

struct Named {
  const char* name;
  Graph (*make)();
};
void PrintTo(const Named& n, std::ostream* out) { *out << n.name; }

class FrozenPart : public ::testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(Networks, FrozenPart,
                         ::testing::Values(Named{"mlp", testing::mlp},
                                           Named{"residual", testing::residual},
                                           Named{"depthwise", testing::depthwise},
                                           Named{"concat", testing::concat}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(FrozenPart, IsOnIntegersAndTheRestIsAsItWas) {
  const Graph g = GetParam().make();
  const auto trained = last_layers(g, 1);
  const auto batches = batches_for(g);
  const FrozenOnIntegers f = frozen_on_integers(g, trained, batches, 0.1);
  EXPECT_EQ(violation(f.network), "");
  const size_t layers = quantizable_layers(prepared_for_quantization(g)).size();
  EXPECT_EQ(size_t(f.layers), layers - 1);
  EXPECT_EQ(f.in_floats, 0);
  EXPECT_GT(f.relative_error, 0);
  EXPECT_LT(f.relative_error, 0.1);
  for (const std::string& name : trained) {
    const ValueId v = f.network.find(name);
    ASSERT_NE(v, kNoValue) << name;
    EXPECT_EQ(f.network.value(v).role, Role::kParameter);
    EXPECT_TRUE(f.network.value(v).constant->identical(*g.value(g.find(name)).constant));
  }
  EXPECT_EQ(f.network.value(f.network.outputs()[0]).name, g.value(g.outputs()[0]).name);
  EXPECT_LT(OutputError(g, batches).of(f.network), 0.1);
}

TEST_P(FrozenPart, LayersThatCostTooMuchStayInFloats) {
  const Graph g = GetParam().make();
  const auto trained = last_layers(g, 1);
  const auto batches = batches_for(g);
  const FrozenOnIntegers all = frozen_on_integers(g, trained, batches, 1);
  const FrozenOnIntegers none = frozen_on_integers(g, trained, batches, 0);
  EXPECT_EQ(none.layers, 0);
  EXPECT_EQ(none.in_floats, all.layers);
  EXPECT_LT(none.relative_error, 1e-5);
  EXPECT_EQ(count_of(none.network, "QuantizeLinear"), 0);
  const FrozenOnIntegers some = frozen_on_integers(g, trained, batches, all.relative_error / 2);
  EXPECT_LE(some.relative_error, all.relative_error / 2);
  EXPECT_EQ(some.layers + some.in_floats, all.layers);
}

TEST_P(FrozenPart, StepsOfFloatsAndOfBf16RunItOnIntegers) {
  const Graph g = GetParam().make();
  const auto trained = last_layers(g, 1);
  for (DType precision : {DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(precision));
    const FrozenOnIntegers f = frozen_on_integers(g, trained, batches_for(g), 0.1, precision);
    const auto x = testing::random_inputs(g, 8, 7)[0];
    StepOptions options;
    options.input = x.shape();
    options.trained = trained;
    options.precision = precision;
    StepGraph step = build_training_step(f.network, options);
    Graph lowered = step.graph;
    run_passes(lowered, {});
    // No decoded weight is left that a product of floats would read.
    for (NodeId id : lowered.order())
      if (lowered.node(id).room->op.name == "DequantizeLinear")
        EXPECT_FALSE(lowered.is_constant(lowered.node(id).inputs[0])) << describe(lowered, id);
    StepSession on_integers(std::move(step));
    StepSession in_floats(build_training_step(g, options));
    Tensor labels(DType::i64, {8});
    on_integers.run({x, labels}, 0.01, 1);
    in_floats.run({x, labels}, 0.01, 1);
    const double loss = in_floats.scalar(in_floats.graph().loss);
    EXPECT_NEAR(on_integers.scalar(on_integers.graph().loss), loss, 0.03 * loss);
    for (const std::string& name : trained)
      EXPECT_LT(testing::largest_difference(on_integers.state(name), in_floats.state(name)), 2e-3);
  }
}

TEST(FrozenParts, EndWhereNothingIsFrozen) {
  const Graph g = testing::mlp();
  const auto refused = [&](const std::set<std::string>& trained) {
    return error_of([&] { frozen_on_integers(g, trained, batches_for(g), 1); });
  };
  EXPECT_THAT(refused(last_layers(g, 3)), HasSubstr("no layer before the trained ones"));
  EXPECT_FALSE(has_frozen_layers(g, last_layers(g, 3)));
  EXPECT_TRUE(has_frozen_layers(g, last_layers(g, 2)));
  EXPECT_THAT(error_of([&] { frozen_on_integers(g, last_layers(g, 1), {}, 1); }),
              HasSubstr("without samples"));
}

/// x W1, of which a third is masked by infinity, its softmax times W2, and W3.
Graph masked() {
  testing::NetworkWriter w("masked");
  const ValueId x = w.graph.add_input("x", TensorType(DType::f32, Dims{Dim(8), Dim(6)}));
  const ValueId first = w.linear(x, 9, "first");
  Tensor mask(DType::f32, {9});
  for (int64_t i = 0; i < 9; i += 3)
    mask.mutable_data<float>()[i] = -std::numeric_limits<float>::infinity();
  const ValueId s = w.b.one("Add", {first, w.b.constant(mask, "mask")});
  const ValueId soft = w.b.one("Softmax", {s});
  return w.finish(w.linear(w.relu(w.linear(soft, 7, "second")), 4, "third"));
}

TEST(FrozenParts, MayMaskByInfinity) {
  const Graph g = masked();
  const FrozenOnIntegers f = frozen_on_integers(g, last_layers(g, 1), batches_for(g), 0.1);
  EXPECT_GT(f.layers, 0);
  EXPECT_LT(f.relative_error, 0.1);
}

TEST(FrozenParts, RangesThatAreNeededAreFinite) {
  testing::NetworkWriter w("infinite");
  const ValueId x = w.graph.add_input("x", TensorType(DType::f32, Dims{Dim(8), Dim(6)}));
  Tensor huge(DType::f32, {6});
  huge.mutable_data<float>()[2] = std::numeric_limits<float>::infinity();
  const Graph g = w.finish(
      w.linear(w.linear(w.b.one("Add", {x, w.b.constant(huge, "huge")}), 3, "one"), 2, "two"));
  EXPECT_THAT(error_of([&] { frozen_on_integers(g, last_layers(g, 1), batches_for(g), 0.1); }),
              HasSubstr("infinity"));
}

TEST(FrozenParts, WhatIsDrawnAtRandomIsNoPartOfThem) {
  testing::NetworkWriter w("dropping");
  const ValueId x = w.graph.add_input("x", TensorType(DType::f32, Dims{Dim(8), Dim(6)}));
  const ValueId dropped = w.b.one("Dropout", {w.relu(w.linear(x, 9, "first"))});
  const Graph g = w.finish(w.linear(w.relu(w.linear(dropped, 7, "second")), 4, "third"));
  const FrozenOnIntegers f = frozen_on_integers(g, last_layers(g, 1), batches_for(g), 0.1);
  EXPECT_EQ(f.layers, 1);
  EXPECT_NE(f.network.find("second.weight"), kNoValue);
}

}  // namespace
}  // namespace espalier

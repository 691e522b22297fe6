#include "runtime/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

Tensor ramp(Shape shape, float start = 0) {
  Tensor t(DType::f32, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = start + 0.25f * float(i % 17);
  return t;
}

TensorType f32(Shape shape) { return {DType::f32, shape}; }

TEST(Session, RunsAChainAndAgreesWithTheInterpreter) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", f32({2, 3, 4}));
  const ValueId w = g.add_constant("w", ramp({4, 5}, -1));
  ValueId y = b.matmul(x, w);
  y = b.one("LeakyRelu", {y});
  y = b.reshape(y, {2, 15});
  y = b.add(y, b.constant(ramp({15})));
  g.add_output(y);
  g.add_output(x);
  const Tensor in = ramp({2, 3, 4}, -2);
  const std::vector<Tensor> want = interpret(g, std::span(&in, 1));
  Session session(compile(g));
  for (int repeat = 0; repeat < 2; ++repeat) {
    const auto got = session.run({in});
    ASSERT_EQ(got.size(), 2u);
    EXPECT_LE(testing::mismatch(got[0], want[0], 1e-5, 1e-6), 1);
    EXPECT_TRUE(got[1].identical(in));
  }
  EXPECT_EQ(session.program().input_names(), std::vector<std::string>{"x"});
}

TEST(Session, RunsStrings) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", f32({2, 3}));
  const ValueId names = g.add_input("names", TensorType(DType::string, Shape{2}));
  const ValueId text = b.one("Cast", {x}, {{"to", int64_t{8}}});
  const ValueId turned = b.transpose(text, {1, 0});
  const ValueId fixed = b.constant(Tensor::from<std::string>({1}, {"a constant of some length"}));
  g.set_outputs({turned, b.cast(turned, DType::f32), names, fixed, turned,
                 b.one("Concat", {names, fixed}, {{"axis", int64_t{0}}})});
  const std::vector<Tensor> in = {
      ramp({2, 3}, -2), Tensor::from<std::string>({2}, {"one", "a name that needs memory"})};
  const std::vector<Tensor> want = interpret(g, in);
  Session session(compile(g));
  for (int repeat = 0; repeat < 2; ++repeat) {
    const auto got = session.run(in);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(want[i])) << i;
  }
  EXPECT_EQ(want[5].span<std::string>()[2], "a constant of some length");
}

// Composites run as what they expand to, which kernels take.
TEST(Session, ContractionsAndGroupsNeedNoReference) {
  Graph g;
  Builder b(g);
  const ValueId q = g.add_input("q", f32({2, 6, 4, 8})), k = g.add_input("k", f32({2, 5, 4, 8}));
  const ValueId scores = b.one("Einsum", {q, k}, {{"equation", std::string("bqhd,bkhd->bhqk")}});
  const ValueId scale = b.constant(ramp({4}, 1)), bias = b.constant(ramp({4}));
  g.add_output(b.one("GroupNormalization", {scores, scale, bias}, {{"num_groups", int64_t{2}}}));
  const std::vector<Tensor> in = {ramp({2, 6, 4, 8}, -1), ramp({2, 5, 4, 8}, -2)};
  CompileOptions options;
  options.strict = true;
  Session session(compile(g, options));
  EXPECT_EQ(session.program().reference_count(), 0);
  EXPECT_LE(testing::mismatch(session.run(in)[0], interpret(g, in)[0], 1e-4, 1e-4), 1);
}

TEST(Session, OneValueMayBeSeveralOutputs) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", f32({3}));
  const ValueId y = b.add(x, x);
  g.set_outputs({y, b.reshape(y, {1, 3}), y});
  Session session(compile(g));
  const auto got = session.run({ramp({3}, 1)});
  EXPECT_EQ(got[0].at(1), 2.5);
  EXPECT_EQ(got[1].at(1), 2.5);
  EXPECT_EQ(got[2].at(1), 2.5);
  EXPECT_EQ(got[1].shape(), (Shape{1, 3}));
}

TEST(Session, RefusesInputsThatDoNotFit) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", f32({3}));
  g.add_output(b.add(x, x));
  Session session(compile(g));
  try {
    session.run({ramp({4})});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("input 'x'"));
    EXPECT_THAT(e.what(), HasSubstr("f32[4]"));
    EXPECT_THAT(e.what(), HasSubstr("f32[3]"));
  }
  EXPECT_THROW(session.run(std::span<const Tensor>{}), UserError);
}

TEST(Session, StateIsCarriedFromRunToRun) {
  Graph g;
  Builder b(g);
  const ValueId s = g.add_input("s", f32({2}));
  const ValueId x = g.add_input("x", f32({2}));
  const ValueId next = b.add(s, x);
  g.add_state(s, next);
  g.add_output(b.add(next, next));
  Session session(compile(g));
  EXPECT_EQ(session.program().state_names(), std::vector<std::string>{"s"});
  EXPECT_EQ(session.state("s").at(0), 0);
  session.set_state("s", Tensor::from<float>({2}, {1, 2}));
  session.run({Tensor::from<float>({2}, {10, 20})});
  const auto y = session.run({Tensor::from<float>({2}, {10, 20})});
  EXPECT_EQ(session.state("s").at(0), 21);
  EXPECT_EQ(session.state("s").at(1), 42);
  EXPECT_EQ(y[0].at(0), 42);
  EXPECT_THROW(session.state("t"), UserError);
  EXPECT_THROW(session.set_state("s", ramp({3})), UserError);
}

// Everybody who reads the old state does so before it is overwritten, wherever they stand.
TEST(Session, OldStateIsReadBeforeItIsOverwritten) {
  Graph g;
  Builder b(g);
  const ValueId s = g.add_input("s", f32({2}));
  const ValueId x = g.add_input("x", f32({2}));
  const ValueId next = b.add(s, x);
  const ValueId old_twice = b.add(s, s);
  g.add_state(s, next);
  g.set_outputs({old_twice, s});
  Session session(compile(g));
  session.set_state("s", Tensor::from<float>({2}, {1, 2}));
  const auto y = session.run({Tensor::from<float>({2}, {10, 20})});
  EXPECT_EQ(y[0].at(0), 2);
  EXPECT_EQ(y[1].at(1), 2);
  EXPECT_EQ(session.state("s").at(0), 11);
}

TEST(Session, StatesSwapAndRotate) {
  Graph g;
  Builder b(g);
  const ValueId p = g.add_input("p", f32({1}));
  const ValueId q = g.add_input("q", f32({1}));
  const ValueId r = g.add_input("r", f32({1}));
  g.add_state(p, q);
  g.add_state(q, p);
  g.add_state(r, b.add(p, q));
  Session session(compile(g));
  session.set_state("p", Tensor::from<float>({1}, {1}));
  session.set_state("q", Tensor::from<float>({1}, {5}));
  session.run(std::span<const Tensor>{});
  EXPECT_EQ(session.state("p").at(0), 5);
  EXPECT_EQ(session.state("q").at(0), 1);
  EXPECT_EQ(session.state("r").at(0), 6);
}

// Each of two states is the sum of both: neither may be overwritten before the other is computed.
TEST(Session, StatesThatReadEachOther) {
  Graph g;
  Builder b(g);
  const ValueId p = g.add_input("p", f32({1}));
  const ValueId q = g.add_input("q", f32({1}));
  g.add_state(p, b.add(p, q));
  g.add_state(q, b.matmul(b.reshape(p, {1, 1}), q));
  Session session(compile(g));
  session.set_state("p", Tensor::from<float>({1}, {3}));
  session.set_state("q", Tensor::from<float>({1}, {5}));
  session.run(std::span<const Tensor>{});
  EXPECT_EQ(session.state("p").at(0), 8);
  EXPECT_EQ(session.state("q").at(0), 15);
}

TEST(Model, CompilesForEachShapeItMeets) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
  g.add_output(b.add(x, x));
  Model model(g);
  EXPECT_EQ(model.run({ramp({1, 2}, 1)})[0].shape(), (Shape{1, 2}));
  EXPECT_EQ(model.run({ramp({3, 2}, 1)})[0].shape(), (Shape{3, 2}));
  EXPECT_THROW(model.run({ramp({3, 3}, 1)}), UserError);
}

TEST(Program, PlansNoMoreThanWhatIsAlive) {
  Graph g;
  Builder b(g);
  ValueId x = g.add_input("x", f32({1000}));
  for (int i = 0; i < 10; ++i) x = b.one("Reshape", {b.add(x, x), b.ints({1000})});
  g.add_output(x);
  const auto program = compile(g, {.disabled_passes = {"fuse_pointwise"}});
  EXPECT_LE(program->arena_bytes(), 2 * 4032u);
}

TEST(Program, EmptyTensorsRun) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", f32({0, 3}));
  g.add_output(b.matmul(x, b.constant(ramp({3, 2}))));
  Session session(compile(g));
  EXPECT_EQ(session.run({Tensor(DType::f32, {0, 3})})[0].shape(), (Shape{0, 2}));
}

}  // namespace
}  // namespace espalier

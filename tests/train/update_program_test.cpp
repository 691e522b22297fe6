// Update rules as programs: what they mean on numbers, in training steps, and when they are the
// same.
#include "train/update_program.h"

#include <gtest/gtest.h>

#include "tests/train/networks.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using P = UpdateProgram;
using Op = ProgramOp;
constexpr int kW = P::kWeight, kG = P::kGradient, kS0 = P::kFirstState, kS1 = kS0 + 1,
              kU = P::kUpdate, kT0 = kU + 1;

/// Chen et al. 2023, program 1.
UpdateProgram lion() {
  return {{{Op::kMix, kU, kS0, kG, 0.9}, {Op::kSign, kU, kU}, {Op::kMix, kS0, kS0, kG, 0.99}}, 1};
}

StepSession session_of(const Optimizer& optimizer, TrainHook* hook) {
  StepOptions o;
  o.input = {4, 2};
  o.optimizer = optimizer;
  std::vector<StepExtension> extensions;
  if (hook) extensions.push_back({{}, [hook](StepGraph& g) { hook->on_updates(g); }});
  return StepSession(build_training_step(testing::mlp(2, 8, 3), o, extensions));
}

Batch batch() { return testing::blobs(4, 3, 1)->fetch(std::vector<int64_t>{0, 1, 2, 3}); }

TEST(UpdateProgram, LionIsLion) {
  const UpdateProgram program = lion();
  EXPECT_EQ(program.text(), "u = mix(s0, g, 0.9); u = sign(u); s0 = mix(s0, g, 0.99); rate 1");
  EXPECT_EQ(program.states(), 1);
  ProgramHook hook(program, 0.1);
  StepSession unit = session_of({"lion", {}, 0.1}, nullptr);
  StepSession written = session_of({"signsgd", {}, 0.1}, &hook);
  EXPECT_EQ(written.graph().optimizer_bytes, unit.graph().optimizer_bytes);
  for (int64_t t = 1; t <= 6; ++t) {
    unit.run(batch(), 0.01, t);
    written.run(batch(), 0.01, t);
  }
  for (const char* name : {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}) {
    const Tensor a = unit.state(name), b = written.state(name);
    for (int64_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a.at(i), b.at(i), 1e-5) << name;
  }
}

TEST(UpdateProgram, EveryInstructionMeansTheSameInGraphsAndOnNumbers) {
  for (int op = 0; op < kProgramOps; ++op) {
    // The result goes through a state, and depends on the weight.
    const UpdateProgram p = {
        {{Op::kScale, kT0, kG, 0, 3}, {Op(op), kS0, kT0, kW, 0.7}, {Op::kAdd, kU, kS0, kG}}, 0.5};
    SCOPED_TRACE(p.text());
    ProgramHook hook(p, 0);
    StepOptions o;
    o.input = {2, 1};
    o.loss = Loss::kMeanSquared;
    o.optimizer = {"signsgd", {}, 0};
    Graph g;
    g.name = "line";
    Builder b(g);
    const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(1)}));
    g.add_output(
        b.matmul(x, g.add_constant("w", Tensor::from<float>({1, 1}, {-0.6f}), Role::kParameter)));
    const StepExtension e = {{}, [&](StepGraph& s) { hook.on_updates(s); }};
    StepSession session(build_training_step(g, o, std::span(&e, 1)));
    std::array<double, P::kRegisters> r{};
    r[kW] = -0.6;
    for (int64_t t = 1; t <= 3; ++t) {
      session.run({Tensor::from<float>({2, 1}, {1, 3}), Tensor::from<float>({2, 1}, {1, 2})}, 0.05,
                  t);
      // d mean((x w - y)^2) = sum x (x w - y)
      r[kG] = (r[kW] - 1) + 3 * (3 * r[kW] - 2);
      p.run(r);
      r[kW] -= 0.05 * 0.5 * r[kU];
      EXPECT_NEAR(session.state("w").at(0), r[kW], 1e-5 * (1 + std::abs(r[kW]))) << t;
    }
  }
}

TEST(UpdateProgram, WhatNoUpdateDependsOnIsLeftOut) {
  UpdateProgram p = lion();
  p.code.insert(p.code.begin(), {Op::kAdd, kT0, kG, kW});  // read by nobody
  p.code.push_back({Op::kMultiply, kS1, kS0, kG});         // a state that is never read
  p.code.push_back({Op::kSign, kT0, kS1});
  EXPECT_EQ(p.simplified(), lion());
  EXPECT_EQ(p.states(), 1);
  EXPECT_EQ(p.behaviour(), lion().behaviour());
  // A state of a state of an update is kept.
  const UpdateProgram chain = {
      {{Op::kAdd, kU, kS0, kG}, {Op::kScale, kS0, kS1, 0, 0.5}, {Op::kAdd, kS1, kS1, kG}}, 1};
  EXPECT_EQ(chain.simplified(), chain);
  EXPECT_EQ(chain.states(), 2);
}

TEST(UpdateProgram, BehaviourTellsProgramsApart) {
  const UpdateProgram descent = gradient_descent();
  // The same in other words.
  const UpdateProgram same = {{{Op::kScale, kT0, kG, 0, 2}, {Op::kScale, kU, kT0, 0, 0.5}}, 1};
  EXPECT_EQ(descent.behaviour(), same.behaviour());
  UpdateProgram faster = descent;
  faster.rate = 2;
  EXPECT_NE(descent.behaviour(), faster.behaviour());
  EXPECT_NE(descent.behaviour(), lion().behaviour());
  const UpdateProgram broken = {{{Op::kDivide, kU, kG, kT0},
                                 {Op::kMultiply, kS0, kU, kU},
                                 {Op::kMultiply, kS0, kS0, kS0},
                                 {Op::kMultiply, kS0, kS0, kS0},
                                 {Op::kMultiply, kS0, kS0, kS0},
                                 {Op::kMultiply, kS0, kS0, kS0},
                                 {Op::kMultiply, kU, kS0, kS0}},
                                1};
  EXPECT_EQ(broken.behaviour(), 0u);
}

}  // namespace
}  // namespace espalier

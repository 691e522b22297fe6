#include "train/moments.h"

#include <cmath>

#include "ir/builder.h"
#include "train/step_session.h"

namespace espalier {
namespace {

constexpr const char* kStepsBefore = "steps_before";

/// States after one step whose gradient is as large as `scale` says: of y = x W with W zero, its
/// gradient is that of the squared error in proportion to the targets.
std::map<std::string, Tensor> states_after_step(const Optimizer& optimizer, float scale) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim(1), Dim(2)}));
  const ValueId w = g.add_constant("w", Tensor(DType::f32, {2, 3}), Role::kParameter);
  g.add_output(b.matmul(x, w));
  StepOptions options;
  options.input = {1, 2};
  options.loss = Loss::kMeanSquared;
  options.optimizer = optimizer;
  options.optimizer.weight_decay = 0;
  StepSession session(build_training_step(g, options));
  Batch batch;
  batch.inputs = Tensor::from<float>({1, 2}, {0.5f, -1.5f});
  batch.targets = Tensor::from<float>({1, 3}, {scale, -0.5f * scale, 2 * scale});
  session.run(batch, 1e-3, 1);
  std::map<std::string, Tensor> states;
  for (const std::string& name : session.state_names())
    if (name != "w") states[name] = session.state(name);
  return states;
}

/// d where b is 2^d times a, element by element and not all zero; 0 where there is none.
int degree_of(const Tensor& a, const Tensor& b) {
  for (const int d : {1, 2}) {
    bool fits = a.shape() == Shape{2, 3}, any = false;
    for (int64_t i = 0; i < a.size(); ++i) {
      const double want = std::ldexp(a.at(i), d);
      fits = fits && std::abs(b.at(i) - want) <= 1e-4 * std::abs(want);
      any = any || want != 0;
    }
    if (fits && any) return d;
  }
  return 0;
}

}  // namespace

std::optional<std::map<std::string, int>> moment_degrees(const Optimizer& optimizer) {
  const auto once = states_after_step(optimizer, 1), twice = states_after_step(optimizer, 2);
  std::map<std::string, int> degrees;
  for (const auto& [name, state] : once) {
    const int degree = degree_of(state, twice.at(name));
    if (!name.starts_with("w:") || degree == 0) return std::nullopt;
    degrees[name.substr(2)] = degree;
  }
  return degrees;
}

void CarriedStates::give(std::map<std::string, Tensor> states, int64_t steps) {
  states_ = std::move(states);
  steps_ = steps;
}

void CarriedStates::on_gradients(StepGraph& step) {
  number_ = step.step;
  const ValueId before = step.add_input(kStepsBefore, Tensor::scalar(int64_t{0}));
  step.step = Builder(step.graph).add(step.step, before);
}

void CarriedStates::on_updates(StepGraph& step) { step.step = number_; }

void CarriedStates::on_start(Trainer& trainer) {
  if (trainer.step_graph().extra_inputs.contains(kStepsBefore))
    trainer.set_input(kStepsBefore, Tensor::scalar(steps_));
  if (trainer.steps_done() > 0) return;
  for (const auto& [name, value] : states_) trainer.set_state(name, value);
}

}  // namespace espalier

#include "train/step_session.h"

#include "base/error.h"
#include "runtime/session.h"
#include "train/estimator.h"

namespace espalier {

StepSession::StepSession(StepGraph step) : step_(std::move(step)) {
  session_ = std::make_unique<Session>(compile(step_.graph));
  if (step_.estimator) step_.estimator->prepare();
  for (auto& [name, first] : step_.initial) {
    session_->set_state(name, first);
    states_.push_back(name);
    first = Tensor();
  }
  connect();
}

StepSession::~StepSession() = default;

// The compiled step keeps the names of inputs and outputs, not their order.
void StepSession::connect() {
  const Graph& g = step_.graph;
  const Program& p = session_->program();
  const auto name = [&](ValueId v) { return g.value(v).name; };
  for (size_t i = 0; i < p.input_names().size(); ++i) {
    const std::string& n = p.input_names()[i];
    const TensorType& t = p.input_types()[i];
    inputs_.emplace_back(t.dtype, t.shape());
    if (n == name(step_.input)) input_slot_ = int(i);
    if (n == name(step_.targets)) target_slot_ = int(i);
    if (n == name(step_.rate)) rate_slot_ = int(i);
    if (n == name(step_.step)) step_slot_ = int(i);
    if (step_.extra_inputs.contains(n)) {
      extra_slots_[n] = int(i);
      inputs_.back() = step_.extra_inputs.at(n);
    }
  }
  for (size_t i = 0; i < p.output_types().size(); ++i) {
    outputs_.emplace_back(p.output_types()[i].dtype, p.output_types()[i].shape());
    output_slots_[name(g.outputs()[i])] = int(i);
  }
  ESP_CHECK(input_slot_ >= 0 && target_slot_ >= 0 && rate_slot_ >= 0,
            "the step lost an input while it was compiled");
}

void StepSession::run(Batch batch, double learning_rate, int64_t number) {
  if (step_.estimator) {
    const std::vector<Tensor> gradients = step_.estimator->gradients(*this, batch, number);
    for (size_t i = 0; i < gradients.size(); ++i) set_input(step_.fed_gradients[i], gradients[i]);
  }
  inputs_[size_t(input_slot_)] = std::move(batch.inputs);
  inputs_[size_t(target_slot_)] = std::move(batch.targets);
  inputs_[size_t(rate_slot_)] = Tensor::scalar(float(learning_rate));
  if (step_slot_ >= 0) inputs_[size_t(step_slot_)] = Tensor::scalar(number);
  session_->run_into(inputs_, outputs_);
}

double StepSession::scalar(ValueId v) const {
  return outputs_[size_t(output_slots_.at(step_.graph.value(v).name))].at(0);
}

Tensor StepSession::output(const std::string& name) const {
  const auto it = output_slots_.find(name);
  ESP_CHECK(it != output_slots_.end(), "the step has no output '" + name + "'");
  return outputs_[size_t(it->second)].clone();
}

Tensor StepSession::state(const std::string& name) const { return session_->state(name); }

void StepSession::set_state(const std::string& name, const Tensor& value) {
  session_->set_state(name, value);
}

StepMemory StepSession::memory() const {
  const Program& p = session_->program();
  const int64_t beside = step_.estimator ? step_.estimator->bytes() : 0;
  return {int64_t(p.arena_bytes()) + beside, int64_t(p.weight_bytes()), int64_t(p.state_bytes())};
}

void StepSession::set_input(const std::string& name, const Tensor& value) {
  const auto it = extra_slots_.find(name);
  ESP_CHECK(it != extra_slots_.end(), "the step has no further input '" + name + "'");
  inputs_[size_t(it->second)] = value;
}

}  // namespace espalier

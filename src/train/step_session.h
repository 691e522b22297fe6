// A compiled training step with its state, fed batch by batch.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "train/step.h"

namespace espalier {

class Session;

class StepSession {
 public:
  /// Compiles for num_threads() and sets all states to their first values.
  explicit StepSession(StepGraph step);
  ~StepSession();

  const StepGraph& graph() const { return step_; }
  /// One step on a batch; `number` counts from 1.
  void run(Batch batch, double learning_rate, int64_t number);
  /// Of the last step. `v` is an output of the step's graph.
  double scalar(ValueId v) const;
  /// A copy of a result of the last step, by name.
  Tensor output(const std::string& name) const;

  /// Names of all states: parameters, moments, running statistics, and what hooks added.
  const std::vector<std::string>& state_names() const { return states_; }
  Tensor state(const std::string& name) const;
  void set_state(const std::string& name, const Tensor& value);
  StepMemory memory() const;
  /// An input that a hook added.
  void set_input(const std::string& name, const Tensor& value);

 private:
  void connect();

  StepGraph step_;
  std::unique_ptr<Session> session_;
  std::vector<std::string> states_;
  std::vector<Tensor> inputs_, outputs_;
  int input_slot_ = -1, target_slot_ = -1, rate_slot_ = -1, step_slot_ = -1;
  std::map<std::string, int> extra_slots_, output_slots_;
};

}  // namespace espalier

// Optimisers as exchangeable units: how one parameter's step is written into the graph of a
// training step, what state it keeps, and its settings.
//
// To add one: a file in train/optimizers/ with a function `const OptimizerUnit& NAME_optimizer()`,
// and ESP_OPTIMIZER(NAME) in train/optimizers.inc. Recipes then take it as optimizer: {kind: NAME}.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "train/setting.h"
#include "train/storage.h"

namespace espalier {

struct StepGraph;
struct StepParameter;

/// One parameter's step while it is written. Clipping has been done; the schedule gives the rate.
class ParameterStep {
 public:
  ParameterStep(StepGraph& step, const StepParameter& parameter,
                const std::map<std::string, double>& settings, const Storage& storage, double decay,
                double rate_factor = 1)
      : step_(step),
        parameter_(parameter),
        settings_(settings),
        storage_(storage),
        decay_(decay / rate_factor),
        rate_factor_(rate_factor) {}

  Builder builder() const;
  ValueId parameter() const;  ///< before the step, f32
  ValueId gradient() const;   ///< f32, or bf16 of a step in bf16
  ValueId rate() const;       ///< f32 [], the parameter's own: the step's times its factor
  ValueId number() const;     ///< i64 [], counts from 1
  Shape shape() const;        ///< of the parameter
  /// Whether nothing but products reads the parameter: a weight of layers, not a table of tokens,
  /// a position, a scale or a bias.
  bool only_multiplied() const;
  /// A number to draw by: the run's seed, the parameter, the suffix. Never negative.
  int64_t seed(const std::string& suffix) const;
  /// Weight decay, 0 for parameters it does not apply to (those of fewer than two axes). Divided by
  /// the factor of the rate, so that what a step takes away follows the schedule alone.
  float decay() const { return float(decay_); }
  float setting(const std::string& name) const { return float(settings_.at(name)); }
  double precise(const std::string& name) const { return settings_.at(name); }
  int64_t whole(const std::string& name) const { return int64_t(settings_.at(name)); }
  /// A moving mean of gradients or of their squares, f32, zero before the first step; between steps
  /// it is stored as the optimiser's `states` say, in one state "PARAMETER:suffix" or two.
  ValueId moment(const std::string& suffix, const Shape& shape);
  bool has_moments() const { return has_moments_; }
  /// A state "PARAMETER:suffix" that is zero before the first step, stored in f32.
  ValueId state(const std::string& suffix, const Shape& shape);
  /// A state "optimizer:suffix" of all parameters together, zero before the first step.
  ValueId shared_state(const std::string& suffix, const Shape& shape);
  /// What the state or moment is after the step.
  void next(ValueId state, ValueId value);

 private:
  StepGraph& step_;
  const StepParameter& parameter_;
  const std::map<std::string, double>& settings_;
  const Storage& storage_;
  double decay_, rate_factor_;
  bool has_moments_ = false;
  /// By what is read back of them: the states of moments, under their names.
  std::map<ValueId, Values> stored_;
};

struct OptimizerUnit {
  const char* name;
  const char* paper;
  std::vector<Setting> settings;
  /// Appends the step and returns the parameter after it.
  ValueId (*step)(ParameterStep& parameter);
  /// Where parameters share states: appends the steps of all and returns the parameters after them.
  /// Then `step` is null.
  Values (*together)(std::span<ParameterStep> parameters) = nullptr;
  /// How a step follows the size of its gradient: in proportion, or each element by the rate alone.
  enum class Response : uint8_t { kUnknown, kProportional, kEntrywise };
  Response response = Response::kUnknown;
};

std::span<const OptimizerUnit* const> optimizers();
/// UserError (usage) with the names there are.
const OptimizerUnit& find_optimizer(const std::string& name);
std::vector<std::string> optimizer_names();

/// An optimiser as it is chosen.
struct Optimizer {
  std::string kind = "sgd";
  /// Settings that differ from the unit's own values.
  std::map<std::string, double> settings = {};
  /// Applied to parameters of two axes and more: biases and normalisations are left alone.
  double weight_decay = 5e-4;
  /// How moments are stored between steps.
  Storage states = {};

  const OptimizerUnit& unit() const { return find_optimizer(kind); }
  /// All settings of the unit, in their order.
  std::map<std::string, double> all_settings() const;
  /// "adamw,beta1=0.9,…": what a resumed run must agree on.
  std::string text() const;
  /// UserError for an unknown kind or setting, or a value outside its bounds.
  void check(const std::string& where) const;
};

}  // namespace espalier

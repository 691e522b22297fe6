// Learning rules as exchangeable units: where the gradients come from that clipping, hooks and the
// optimiser of a training step read. Backpropagation is one; others write local losses into the
// step's graph, or estimate gradients from losses alone, outside of it.
//
// To add one: a file in train/rules/ with a function `const RuleUnit& NAME_rule()`, and
// ESP_RULE(NAME) in train/rules.inc. Recipes then take it as training: {rule: {kind: NAME}}.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "train/setting.h"

namespace espalier {

struct StepGraph;
struct StepOptions;

/// A step while a rule gives its parameters their gradients: forward, loss and rate are there.
class RuleStep {
 public:
  /// `by_gradient`: names of states that become the gradients by them.
  RuleStep(StepGraph& step, const StepOptions& options,
           std::span<const std::string> by_gradient = {});

  StepGraph& step() { return step_; }
  const StepOptions& options() const { return options_; }
  Builder builder() const;
  double setting(const std::string& name) const { return settings_.at(name); }
  int64_t whole(const std::string& name) const { return int64_t(settings_.at(name)); }
  /// A number to draw by: the run's seed, the rule, the suffix. Never negative.
  int64_t seed(const std::string& suffix) const;
  /// Sets every parameter's gradient to that of `loss`, a scalar of the step's graph.
  void differentiate(ValueId loss);
  bool differentiated() const { return differentiated_; }

 private:
  StepGraph& step_;
  const StepOptions& options_;
  std::vector<std::string> by_gradient_;
  bool differentiated_ = false;
  std::map<std::string, double> settings_;
};

struct RuleUnit {
  const char* name;
  const char* paper;
  const char* what;
  std::vector<Setting> settings;
  /// Sets the gradient of every parameter, by nodes of the step's graph or, with an estimator, by
  /// inputs that are fed before each step. UserError where the network or the options do not fit.
  void (*write)(RuleStep& step);
};

std::span<const RuleUnit* const> rules();
/// UserError (usage) with the names there are.
const RuleUnit& find_rule(const std::string& name);
std::vector<std::string> rule_names();

/// A rule as it is chosen.
struct Rule {
  std::string kind = "backprop";
  /// Settings that differ from the unit's own values.
  std::map<std::string, double> settings = {};

  const RuleUnit& unit() const { return find_rule(kind); }
  bool backpropagates() const { return kind == "backprop"; }
  /// "tpsgd,scale=1,…": what a resumed run must agree on.
  std::string text() const;
  /// UserError for an unknown kind or setting, or a value outside its bounds.
  void check(const std::string& where) const;
};

}  // namespace espalier

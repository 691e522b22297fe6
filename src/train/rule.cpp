#include "train/rule.h"

#include <array>

#include "base/error.h"
#include "base/rng.h"
#include "base/suggest.h"
#include "passes/differentiate.h"
#include "train/step.h"

namespace espalier {

#define ESP_RULE(name) const RuleUnit& name##_rule();
#include "train/rules.inc"
#undef ESP_RULE

std::span<const RuleUnit* const> rules() {
  static const std::array all = {
#define ESP_RULE(name) &name##_rule(),
#include "train/rules.inc"
#undef ESP_RULE
  };
  return all;
}

std::vector<std::string> rule_names() {
  std::vector<std::string> names;
  for (const RuleUnit* unit : rules()) names.emplace_back(unit->name);
  return names;
}

const RuleUnit& find_rule(const std::string& name) {
  for (const RuleUnit* unit : rules())
    if (name == unit->name) return *unit;
  throw usage_error("rule '" + name + "'", "is not known", suggestion(name, rule_names()));
}

std::string Rule::text() const { return settings_text(kind, unit().settings, settings); }

void Rule::check(const std::string& where) const {
  check_settings(where, "rule '" + kind + "'", unit().settings, settings);
}

RuleStep::RuleStep(StepGraph& step, const StepOptions& options,
                   std::span<const std::string> by_gradient)
    : step_(step),
      options_(options),
      by_gradient_(by_gradient.begin(), by_gradient.end()),
      settings_(all_settings(options.rule.unit().settings, options.rule.settings)) {}

Builder RuleStep::builder() const { return Builder(step_.graph); }

int64_t RuleStep::seed(const std::string& suffix) const {
  const uint64_t stream = stream_of("rule " + options_.rule.kind + ":" + suffix);
  return int64_t(Rng(options_.seed, stream).bits(0) >> 1);
}

void RuleStep::differentiate(ValueId minimised) {
  Graph& g = step_.graph;
  // What differentiation expands keeps its name, not its number.
  const std::string loss = g.value(step_.loss).name, logits = g.value(step_.logits).name;
  const std::string objective = g.value(step_.objective).name;
  const bool tempered = step_.temperature != kNoValue;
  const std::string temperature = tempered ? g.value(step_.temperature).name : "";
  std::vector<ValueId> wrt;
  for (const StepParameter& p : step_.parameters) wrt.push_back(p.value);
  for (const std::string& name : by_gradient_) wrt.push_back(g.find(name));
  const auto gradients = espalier::differentiate(g, minimised, wrt);
  step_.loss = g.find(loss);
  step_.logits = g.find(logits);
  step_.objective = g.find(objective);
  if (tempered) step_.temperature = g.find(temperature);
  for (StepParameter& p : step_.parameters) p.gradient = gradients.at(p.value);
  for (const std::string& name : by_gradient_)
    g.add_state(g.find(name), gradients.at(g.find(name)));
  differentiated_ = true;
}

}  // namespace espalier

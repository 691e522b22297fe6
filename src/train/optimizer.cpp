#include "train/optimizer.h"

#include <array>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/rng.h"
#include "train/step.h"

namespace espalier {

#define ESP_OPTIMIZER(name) const OptimizerUnit& name##_optimizer();
#include "train/optimizers.inc"
#undef ESP_OPTIMIZER

std::span<const OptimizerUnit* const> optimizers() {
  static const std::array all = {
#define ESP_OPTIMIZER(name) &name##_optimizer(),
#include "train/optimizers.inc"
#undef ESP_OPTIMIZER
  };
  return all;
}

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const OptimizerUnit* unit : optimizers()) names.emplace_back(unit->name);
  return names;
}

const OptimizerUnit& find_optimizer(const std::string& name) {
  std::string known;
  for (const OptimizerUnit* unit : optimizers()) {
    if (unit->name == name) return *unit;
    known += (known.empty() ? "" : ", ") + std::string(unit->name);
  }
  throw usage_error("optimizer '" + name + "'", "is not known", "known: " + known);
}

std::map<std::string, double> Optimizer::all_settings() const {
  return espalier::all_settings(unit().settings, settings);
}

std::string Optimizer::text() const {
  std::ostringstream out;
  out.precision(17);
  out << settings_text(kind, unit().settings, settings) << ",weight_decay=" << weight_decay;
  if (!states.is_f32()) out << ",states=" << states.text();
  return out.str();
}

void Optimizer::check(const std::string& where) const {
  check_settings(where, "optimizer '" + kind + "'", unit().settings, settings);
  if (!(weight_decay >= 0) || !std::isfinite(weight_decay))
    throw bad_input(where, "weight decay cannot be negative");
}

Builder ParameterStep::builder() const { return Builder(step_.graph); }
ValueId ParameterStep::parameter() const { return parameter_.value; }
ValueId ParameterStep::gradient() const { return parameter_.gradient; }
ValueId ParameterStep::rate() const {
  return rate_factor_ == 1 ? step_.rate : builder().mul(step_.rate, rate_factor_);
}
ValueId ParameterStep::number() const { return step_.step; }
Shape ParameterStep::shape() const { return step_.graph.value(parameter_.value).tensor().shape(); }

bool ParameterStep::only_multiplied() const { return parameter_.only_multiplied; }

int64_t ParameterStep::seed(const std::string& suffix) const {
  return int64_t(Rng(step_.seed, stream_of(parameter_.name + ":" + suffix)).bits(0) >> 1);
}

ValueId ParameterStep::moment(const std::string& suffix, const Shape& shape) {
  has_moments_ = true;
  if (storage_.is_f32()) return state(suffix, shape);
  const std::string name = parameter_.name + ":" + suffix;
  Values kept;
  for (const Tensor& zero : stored_zeros(shape, storage_))
    kept.push_back(step_.add_optimizer_state(kept.empty() ? name : name + ":scales", zero.shape(),
                                             zero.dtype()));
  Builder b = builder();
  const ValueId value = read_back(b, kept, storage_, DType::f32, name + ":read");
  stored_[value] = kept;
  return value;
}

ValueId ParameterStep::state(const std::string& suffix, const Shape& shape) {
  return step_.add_optimizer_state(parameter_.name + ":" + suffix, shape);
}

ValueId ParameterStep::shared_state(const std::string& suffix, const Shape& shape) {
  return step_.add_optimizer_state("optimizer:" + suffix, shape);
}

void ParameterStep::next(ValueId state, ValueId value) {
  const auto moment = stored_.find(state);
  if (moment == stored_.end()) return step_.set_next(state, value);
  Builder b = builder();
  const Values next =
      stored(b, value, storage_, step_.graph.value(moment->second[0]).name + ":next");
  for (size_t i = 0; i < next.size(); ++i) step_.set_next(moment->second[i], next[i]);
}

}  // namespace espalier

// Layer-wise learning by projected labels (Lomnitz et al. 2022) against backpropagation, and
// against other rules that send no exact gradient back, on several networks: test accuracy and the
// planned memory of a compiled step.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "data/source.h"
#include "recipe/recipe.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "train/divergence.h"

namespace espalier {
namespace {

/// A rule in one or more settings, of which the best is taken.
struct Contender {
  std::string name;
  std::vector<Rule> rules;
  /// Networks of its own, by task. Where there are any it trains these alone, beside the
  /// comparison: the verdict does not depend on it.
  std::map<std::string, ModelPart> models = {};
};

struct Task {
  std::string name;
  ModelPart model;
  TrainOptions training;
};

struct Result {
  std::string contender;
  Rule rule;
  double rate = 0;
  bool at_edge = false;
  Tally accuracy;
  StepMemory memory;
};

struct Race {
  std::shared_ptr<const Dataset> train, val, test;
  std::vector<double> rates;
  int64_t seeds = 3;
  uint64_t seed = 0;
};

/// Percent of the samples answered rightly; 0 where training diverges.
double reached(const Race& race, const Task& task, const Rule& rule, double rate, uint64_t seed,
               const Dataset& on, StepMemory& memory) {
  TrainOptions o = task.training;
  o.rule = rule;
  o.schedule.peak = rate;
  o.seed = seed;
  o.log_every = 0;
  o.name = task.name + ", " + rule.kind;
  Trainer trainer(task.model.build(seed, race.train.get()), race.train, nullptr, o);
  memory = trainer.memory();
  try {
    if (!trainer.train().finished) throw usage_error("reproduce", "was interrupted");
    return 100 * trainer.evaluate(on).accuracy;
  } catch (const UserError& e) {
    if (!is_divergence(e)) throw;
    return 0;
  }
}

Result raced(const Race& race, const Task& task, const Contender& c) {
  Result r;
  r.contender = c.name;
  double best = -1;
  for (const Rule& rule : c.rules)
    for (double rate : race.rates) {
      const double now = reached(race, task, rule, rate, race.seed + 1000, *race.val, r.memory);
      if (now <= best) continue;
      best = now;
      r.rule = rule;
      r.rate = rate;
    }
  r.at_edge =
      race.rates.size() > 1 && (r.rate == race.rates.front() || r.rate == race.rates.back());
  for (int64_t s = 0; s < race.seeds; ++s)
    r.accuracy.add(
        reached(race, task, r.rule, r.rate, race.seed + uint64_t(s), *race.test, r.memory));
  log_info(task.name + ", " + c.name + ": " + std::to_string(r.accuracy.mean()) + " % at rate " +
           std::to_string(r.rate) + " by " + r.rule.text() + ", " + std::to_string(r.memory.arena) +
           " bytes of activations and gradients");
  return r;
}

Contender read_contender(const Yaml& part) {
  Fields fields(part, "a contender");
  Contender c;
  c.name = fields.require_string("name");
  const Yaml& rules = fields.require("rules");
  for (const Yaml& rule : rules.items()) c.rules.push_back(read_rule(rule));
  if (c.rules.empty()) rules.fail("a contender needs a rule");
  if (const Yaml* models = fields.find("models"))
    for (const auto& [task, model] : models->entries()) c.models[task.text()] = read_model(model);
  fields.done();
  return c;
}

Task read_task(const Yaml& part, const TrainOptions& training) {
  Fields fields(part, "a task");
  Task t;
  t.name = fields.require_string("name");
  t.model = read_model(fields.require("model"));
  const Yaml* own = fields.find("training");
  t.training = own ? read_training(*own, training) : training;
  fields.done();
  return t;
}

void report(const Result& r, nlohmann::ordered_json& into, const std::string& prefix) {
  into[prefix + "accuracy"] = r.accuracy.mean();
  into[prefix + "standard_error"] = r.accuracy.error();
  into[prefix + "rate"] = r.rate;
  into[prefix + "rate_at_edge"] = r.at_edge;
  into[prefix + "arena_bytes"] = r.memory.arena;
  into[prefix + "constant_bytes"] = r.memory.constants;
  into[prefix + "state_bytes"] = r.memory.states;
}

}  // namespace

Findings measure_local_learning(Fields& recipe, const MeasureOptions& options) {
  const DataSpec data = read_data(recipe.require("data"));
  const TrainOptions training = read_training(recipe.require("training"));
  std::vector<Task> tasks;
  for (const Yaml& part : recipe.require("tasks").items())
    tasks.push_back(read_task(part, training));
  const Yaml& list = recipe.require("contenders");
  std::vector<Contender> contenders, beside;
  for (const Yaml& part : list.items()) {
    Contender c = read_contender(part);
    for (const auto& [task, model] : c.models)
      if (std::ranges::find(tasks, task, &Task::name) == tasks.end())
        part.fail("'" + c.name + "' has a network for '" + task + "', which is no task");
    (c.models.empty() ? contenders : beside).push_back(std::move(c));
  }
  Race race;
  const Yaml& rates = recipe.require("rates");
  for (const Yaml& rate : rates.items()) {
    race.rates.push_back(rate.number());
    if (!(race.rates.back() > 0)) rate.fail("a rate must be positive");
  }
  race.seeds = recipe.integer("seeds", 3, 2, 100);
  const double points = recipe.number("most_points_lost", 5, 0, 100);
  const double most_memory = recipe.number("most_memory", 0.8, 0, 10);
  recipe.done();
  const auto place = [&](const char* name) {
    const auto found = std::ranges::find(contenders, std::string(name), &Contender::name);
    if (found == contenders.end()) list.fail("compares with '" + std::string(name) + "'");
    return size_t(found - contenders.begin());
  };
  const size_t ours_at = place("tpsgd"), exact_at = place("backprop");
  if (race.rates.empty()) rates.fail("names no rate");
  if (tasks.empty() || contenders.size() < 3) list.fail("needs tasks and other rules to beat");
  const DataSource source(data);
  race.train = source.split(Split::train);
  race.val = source.split(Split::val);
  race.test = source.split(Split::test);
  race.seed = options.seed;

  Findings f;
  f.holds = true;
  for (const Task& task : tasks) {
    std::vector<Result> results;
    for (const Contender& c : contenders) results.push_back(raced(race, task, c));
    const Result &ours = results[ours_at], &exact = results[exact_at];
    const double lost = exact.accuracy.mean() - ours.accuracy.mean();
    // Activations, gradients and the fixed matrices; parameters and their moments are the same.
    const auto working = [](const Result& r) {
      return double(r.memory.arena + r.memory.constants);
    };
    const double memory = working(ours) / working(exact);
    const std::string prefix = task.name + "_";
    report(ours, f.measured, prefix);
    f.measured[prefix + "points_lost"] = lost;
    f.measured[prefix + "memory_of_backprop"] = memory;
    f.holds = f.holds && lost <= points && memory <= most_memory;
    for (size_t i = 0; i < results.size(); ++i) {
      if (i == ours_at) continue;
      report(results[i], f.baseline, prefix + results[i].contender + "_");
      if (i == exact_at) continue;
      const Tally over = paired(ours.accuracy, results[i].accuracy);
      f.measured[prefix + "points_over_" + results[i].contender] = over.mean();
      f.holds = f.holds && over.mean() > over.error();
    }
    for (const Contender& c : beside) {
      const auto own = c.models.find(task.name);
      if (own == c.models.end()) continue;
      const Result r = raced(race, {task.name, own->second, task.training}, c);
      report(r, f.measured, prefix + c.name + "_");
      f.measured[prefix + c.name + "_points_lost"] = exact.accuracy.mean() - r.accuracy.mean();
      f.measured[prefix + c.name + "_memory_of_backprop"] = working(r) / working(exact);
    }
  }
  f.measured["seeds"] = race.seeds;
  f.measured["data"] = race.train->description();
  return f;
}

}  // namespace espalier

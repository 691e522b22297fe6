// Lifelong learning (Ling & Bohn 2021): five tasks one after another in networks of equal size, by
// plain fine-tuning, elastic weight consolidation, and one policy of consolidation strengths under
// which units are recruited, held and sent back.
#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "compress/lifelong.h"
#include "data/source.h"
#include "data/tasks.h"
#include "recipe/recipe.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "train/consolidation.h"
#include "train/transfer_matrix.h"

namespace espalier {
namespace {

struct TaskData {
  std::shared_ptr<const Dataset> train, val, test;
};

struct TaskSequence {
  std::string name;
  bool split = true;  ///< by class; else elements are permuted
  int64_t tasks = 5;
  std::vector<TaskData> data;
};

enum class Way : uint8_t { kFineTuning, kElastic, kPolicy, kIsolated };
constexpr const char* kWays[] = {"fine_tuning", "ewc", "policy", "isolated"};

struct Run {
  TransferMatrix tested;
  double validated = 0;  ///< mean over all tasks at the end
  UnitCounts units;
};

struct Contender {
  Way way = Way::kPolicy;
  double rate = 0, strength = 0;
  std::vector<Run> runs;

  Tally of(double (*figure)(const Run&)) const {
    Tally t;
    for (const Run& r : runs) t.add(figure(r));
    return t;
  }
  Tally accuracy() const {
    return of([](const Run& r) { return r.tested.final_mean(); });
  }
  Tally forgetting() const {
    return of([](const Run& r) { return r.tested.forgetting(); });
  }
  Tally backward() const {
    return of([](const Run& r) { return r.tested.backward_transfer(); });
  }
  /// Accuracy of each task but the first when it has been learned.
  Tally when_learned() const {
    return of([](const Run& r) {
      return r.tested.forward_transfer(std::vector<double>(r.tested.accuracy.size(), 0));
    });
  }
  /// Means over runs.
  TransferMatrix mean() const {
    TransferMatrix m = runs.front().tested;
    for (size_t i = 0; i < m.accuracy.size(); ++i)
      for (size_t j = 0; j < m.accuracy[i].size(); ++j) {
        m.accuracy[i][j] = 0;
        for (const Run& r : runs) m.accuracy[i][j] += r.tested.accuracy[i][j] / double(runs.size());
      }
    return m;
  }
};

class Sequences {
 public:
  Sequences(Fields& recipe, const MeasureOptions& options) : options_(options) {
    const DataSource data(read_data(recipe.require("data")));
    for (int k = 0; k < 3; ++k) splits_[k] = data.split(Split(k));
    model_ = read_model(recipe.require("model"));
    training_ = read_training(recipe.require("training"));
    fisher_samples_ = recipe.integer("fisher_samples", 100, 1);
    Fields policy(recipe.require("policy"), "policy");
    policy_.at_first = policy.number("at_first", policy_.at_first, 0.001, 1);
    policy_.enough = policy.number("enough", policy_.enough, 0, 1);
    policy_.tolerance = policy.number("tolerance", policy_.tolerance, 0, 1);
    policy_.old = strength_of(policy, "old", policy_.old);
    policy_.forward = strength_of(policy, "forward", policy_.forward);
    policy.done();
  }

  TaskSequence read(const Yaml& part) const {
    Fields fields(part, "sequences");
    TaskSequence s;
    s.name = fields.require_string("name");
    fields.require("kind");
    s.split = fields.choice("kind", 0, {"split", "permuted"}) == 0;
    s.tasks = fields.integer("tasks", 5, 2, 1000);
    fields.done();
    const int64_t classes = splits_[0]->classes();
    if (s.split && classes % s.tasks != 0)
      part.fail(std::to_string(classes) + " classes cannot be divided into " +
                std::to_string(s.tasks) + " tasks");
    std::vector<std::vector<std::shared_ptr<const Dataset>>> parts(size_t(3));
    for (size_t k = 0; k < 3; ++k) {
      if (s.split) parts[k] = split_by_class(splits_[k], classes / s.tasks);
      for (int64_t t = 0; t < s.tasks && !s.split; ++t)
        parts[k].push_back(permuted(splits_[k], uint64_t(t)));
    }
    for (size_t t = 0; t < size_t(s.tasks); ++t)
      s.data.push_back({parts[0][t], parts[1][t], parts[2][t]});
    return s;
  }

  Graph network(const TaskSequence& s, uint64_t seed) const {
    ModelPart model = model_;
    model.variables["classes"] = std::to_string(s.tasks * s.data[0].train->classes());
    return with_task_results(model.build(seed, s.data[0].train.get()), s.tasks);
  }

  TrainOptions training(double rate, uint64_t seed, int64_t task) const {
    TrainOptions o = training_;
    o.schedule.peak = rate;
    o.seed = seed;
    o.output = "task" + std::to_string(task);
    o.name = "task " + std::to_string(task + 1);
    return o;
  }

  double accuracy(const Graph& g, const Dataset& data, int64_t task) const {
    return evaluate(g, data, training_.loss, training_.eval_batch, "task" + std::to_string(task))
        .accuracy;
  }

  Run run(const TaskSequence& s, Way way, double rate, double strength, uint64_t seed) const {
    Run r;
    Graph g = network(s, seed);
    Consolidation held = unconsolidated(g);
    std::unique_ptr<LifelongLearner> learner;
    if (way == Way::kPolicy || way == Way::kIsolated) {
      LifelongPolicy policy = policy_;
      if (way == Way::kIsolated) policy.forward = kFrozen;
      learner = std::make_unique<LifelongLearner>(g, s.data[0].train->sample_shape(), s.tasks,
                                                  policy, seed);
    }
    for (int64_t t = 0; t < s.tasks; ++t) {
      const TaskData& task = s.data[size_t(t)];
      const TrainOptions o = training(rate, seed, t);
      if (learner) {
        learner->learn(task.train, task.val, o);
        g = learner->network();
      } else {
        ConsolidationHook hook(held);
        std::vector<TrainHook*> hooks;
        if (way == Way::kElastic) hooks.push_back(&hook);
        Trainer trainer(g, task.train, nullptr, o, {}, hooks);
        trainer.train();
        std::map<std::string, Tensor> values;
        for (const auto& [name, hold] : held) values[name] = trainer.state(name);
        g = with_values(g, values);
        if (way == Way::kElastic && t + 1 < s.tasks)
          consolidate(held, g, fisher_diagonal(g, *task.train, fisher_samples_, o.output, seed),
                      strength);
      }
      r.tested.accuracy.emplace_back();
      for (int64_t j = 0; j <= t; ++j)
        r.tested.accuracy.back().push_back(accuracy(g, *s.data[size_t(j)].test, j));
    }
    for (int64_t j = 0; j < s.tasks; ++j)
      r.validated += accuracy(g, *s.data[size_t(j)].val, j) / double(s.tasks);
    if (learner) r.units = learner->units();
    return r;
  }

  /// Each task by a network of its own, of the same size.
  std::vector<double> alone(const TaskSequence& s, double rate, uint64_t seed) const {
    std::vector<double> reached;
    for (int64_t t = 0; t < s.tasks; ++t) {
      Trainer trainer(network(s, seed), s.data[size_t(t)].train, nullptr, training(rate, seed, t));
      trainer.train();
      reached.push_back(accuracy(trainer.network(), *s.data[size_t(t)].test, t));
    }
    return reached;
  }

  uint64_t seed() const { return options_.seed; }

 private:
  static double strength_of(Fields& fields, const char* key, double fallback) {
    const Yaml* value = fields.find(key);
    if (!value) return fallback;
    if (value->is_scalar() && value->text() == "frozen") return double(kFrozen);
    const double number = value->number();
    if (!(number >= 0)) value->fail("must be 'frozen' or a strength of 0 or more");
    return number;
  }

  MeasureOptions options_;
  std::shared_ptr<const Dataset> splits_[3];
  ModelPart model_;
  TrainOptions training_;
  LifelongPolicy policy_;
  int64_t fisher_samples_ = 100;
};

std::vector<double> read_positive(const Yaml& part) {
  std::vector<double> numbers;
  for (const Yaml& n : part.items()) {
    numbers.push_back(n.number());
    if (!(numbers.back() > 0)) n.fail("must be above 0");
  }
  if (numbers.empty()) part.fail("is empty");
  return numbers;
}

}  // namespace

Findings measure_lifelong(Fields& recipe, const MeasureOptions& options) {
  const Sequences all(recipe, options);
  std::vector<TaskSequence> sequences;
  for (const Yaml& part : recipe.require("sequences").items()) sequences.push_back(all.read(part));
  const std::vector<double> rates = read_positive(recipe.require("rates"));
  const std::vector<double> strengths = read_positive(recipe.require("ewc_strengths"));
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  recipe.done();
  Findings f;
  f.holds = !sequences.empty();
  const auto tries = int64_t(rates.size() * (2 + strengths.size()));
  Progress progress("lifelong learning", int64_t(sequences.size()) * (tries + 5 * seeds), "runs");
  for (const TaskSequence& s : sequences) {
    const std::string k = s.name + "_";
    const Graph size = all.network(s, all.seed());
    int64_t parameters = 0;
    for (ValueId v : size.constants())
      if (size.value(v).role == Role::kParameter) parameters += size.value(v).constant->size();
    std::vector<Contender> contenders;
    for (const Way way : {Way::kFineTuning, Way::kElastic, Way::kPolicy}) {
      Contender c;
      c.way = way;
      double best = -1;
      for (double rate : rates)
        for (double strength : way == Way::kElastic ? strengths : std::vector<double>{0}) {
          const double got = all.run(s, way, rate, strength, all.seed() + 1000).validated;
          progress.advance();
          if (got > best) {
            best = got;
            c.rate = rate;
            c.strength = strength;
          }
        }
      contenders.push_back(std::move(c));
    }
    contenders.push_back({Way::kIsolated, contenders.back().rate, 0, {}});
    Tally forward[4];
    for (int64_t i = 0; i < seeds; ++i) {
      const uint64_t seed = all.seed() + uint64_t(i);
      const std::vector<double> alone = all.alone(s, contenders[0].rate, seed);
      progress.advance();
      for (size_t c = 0; c < contenders.size(); ++c) {
        Contender& now = contenders[c];
        now.runs.push_back(all.run(s, now.way, now.rate, now.strength, seed));
        forward[c].add(now.runs.back().tested.forward_transfer(alone));
        progress.advance();
      }
    }
    for (size_t c = 0; c < contenders.size(); ++c) {
      const Contender& now = contenders[c];
      const bool ours = now.way == Way::kPolicy;
      nlohmann::ordered_json& to = ours ? f.measured : f.baseline;
      const std::string tail = ours ? "" : std::string("_") + kWays[size_t(now.way)];
      log_info(k + kWays[size_t(now.way)] + ": " + now.mean().text());
      to[k + "accuracy" + tail] = 100 * now.accuracy().mean();
      to[k + "accuracy_error" + tail] = 100 * now.accuracy().error();
      to[k + "forgetting" + tail] = 100 * now.forgetting().mean();
      to[k + "backward_transfer" + tail] = 100 * now.backward().mean();
      to[k + "forward_transfer" + tail] = 100 * forward[c].mean();
      to[k + "matrix" + tail] = now.mean().text();
      to[k + "rate" + tail] = now.rate;
      if (now.way == Way::kElastic) to[k + "strength" + tail] = now.strength;
    }
    const Contender &tuned = contenders[0], &elastic = contenders[1], &ours = contenders[2];
    const Tally over_tuned = paired(ours.accuracy(), tuned.accuracy());
    const Tally over_elastic = paired(ours.accuracy(), elastic.accuracy());
    const Tally by_links = paired(ours.when_learned(), contenders[3].when_learned());
    const UnitCounts& units = ours.runs.front().units;
    std::string counts;
    for (int64_t n : units.of_task) counts += (counts.empty() ? "" : ", ") + std::to_string(n);
    f.measured[k + "gain_over_fine_tuning"] = 100 * over_tuned.mean();
    f.measured[k + "gain_over_fine_tuning_error"] = 100 * over_tuned.error();
    f.measured[k + "gain_over_ewc"] = 100 * over_elastic.mean();
    f.measured[k + "gain_over_ewc_error"] = 100 * over_elastic.error();
    f.measured[k + "gain_by_links_from_earlier_units"] = 100 * by_links.mean();
    f.measured[k + "gain_by_links_error"] = 100 * by_links.error();
    f.measured[k + "units_of_tasks"] = counts;
    f.measured[k + "units_in_reserve"] = units.reserve;
    f.measured[k + "parameters"] = parameters;
    f.baseline[k + "parameters"] = parameters;
    f.holds = f.holds && over_tuned.mean() > over_tuned.error() &&
              over_elastic.mean() > over_elastic.error() &&
              ours.forgetting().mean() < tuned.forgetting().mean() &&
              ours.forgetting().mean() < elastic.forgetting().mean() && ours.backward().mean() >= 0;
    // Tasks that share nothing have nothing to hand on.
    if (s.split) f.holds = f.holds && by_links.mean() > by_links.error();
  }
  f.measured["seeds"] = seeds;
  return f;
}

}  // namespace espalier

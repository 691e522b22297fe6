// Continual learning with hypernetworks (Chandra et al. 2023): tasks come one after another, and
// their weights are made from learned vectors by a recurrent generator, whose pieces depend on each
// other, or by one that makes each piece by itself (von Oswald et al. 2020); or the network is
// simply trained on.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/quietly.h"
#include "data/source.h"
#include "data/tasks.h"
#include "recipe/generator_part.h"
#include "recipe/recipe.h"
#include "reproduce/reproduce.h"
#include "reproduce/run_count.h"
#include "reproduce/tuning_tally.h"
#include "train/divergence.h"

namespace espalier {
namespace {

struct TaskData {
  std::shared_ptr<const Dataset> train, val, test;
};

/// What comes one after another.
struct Stream {
  std::string name;
  ModelPart model;
  TrainOptions training;
  std::vector<TaskData> tasks;
};

Stream read_stream(const Yaml& part) {
  Fields fields(part, "a stream");
  Stream s;
  s.name = fields.require_string("name");
  s.model = read_model(fields.require("model"));
  s.training = read_training(fields.require("training"));
  const DataSource source(read_data(fields.require("data")));
  const TaskData all = {source.split(Split::train), source.split(Split::val),
                        source.split(Split::test)};
  const int64_t classes = fields.integer("classes_each", 0, 2, 1000);
  const int64_t tasks = fields.require_integer("tasks", 2, 1000);
  fields.done();
  if (classes > 0 && classes * tasks > all.train->classes())
    part.fail(std::to_string(tasks) + " tasks of " + std::to_string(classes) +
              " classes need more than the " + std::to_string(all.train->classes()) + " there are");
  for (int64_t t = 0; t < tasks; ++t) {
    const auto of_task = [&](std::shared_ptr<const Dataset> data) {
      if (classes == 0) return t == 0 ? data : permuted(std::move(data), uint64_t(t));
      std::vector<int64_t> own;
      for (int64_t c = 0; c < classes; ++c) own.push_back(t * classes + c);
      return of_classes(std::move(data), own);
    };
    s.tasks.push_back({of_task(all.train), of_task(all.val), of_task(all.test)});
  }
  return s;
}

/// A way to learn a stream; without a generator the network's own weights are trained on.
struct Learner {
  std::string name;
  std::optional<HypernetworkSpec> spec;
  int64_t growth = 0;  ///< units more for each task after the first
  std::vector<double> drifts = {0};

  double rate = 0, drift = 0;
  int64_t learned = 0;
  Tally accuracy, forgetting, first;  ///< per cent
};

struct Outcome {
  double accuracy = 0;    ///< mean over tasks at the end
  double first = 0;       ///< mean over tasks, each when it had just been learned
  double forgetting = 0;  ///< the difference
  int64_t learned = 0;
};

Tensor task_number(size_t t) { return Tensor::from<int64_t>({1}, {int64_t(t)}); }

class StreamRun {
 public:
  StreamRun(const Stream& stream, const Learner& learner, double rate, double drift, uint64_t seed)
      : stream_(stream), learner_(learner), drift_(drift), options_(stream.training), seed_(seed) {
    options_.schedule.peak = rate;
    options_.log_every = 0;
    const Graph network = stream.model.build(seed, stream.tasks[0].train.get());
    graph_ = network;
    if (!learner.spec) return;
    HypernetworkSpec spec = *learner.spec;
    spec.numbers = 0;
    spec.tasks = int64_t(stream.tasks.size());
    hyper_.emplace(network, spec, seed);
    graph_ = hyper_->graph();
  }

  Outcome run(std::shared_ptr<const Dataset> TaskData::*judged) {
    const Quietly quiet;
    const auto n = double(stream_.tasks.size());
    Outcome o;
    for (size_t t = 0; t < stream_.tasks.size(); ++t) {
      if (!learn(t)) return {};
      o.first += 100 * accuracy(t, *(stream_.tasks[t].*judged)) / n;
    }
    for (size_t t = 0; t < stream_.tasks.size(); ++t)
      o.accuracy += 100 * accuracy(t, *(stream_.tasks[t].*judged)) / n;
    o.forgetting = o.first - o.accuracy;
    for (ValueId v : graph_.constants())
      if (graph_.value(v).role == Role::kParameter) o.learned += graph_.value(v).constant->size();
    return o;
  }

 private:
  /// False where it diverged.
  bool learn(size_t t) {
    options_.seed = seed_ + 1'000'000 * t;
    std::vector<TrainHook*> hooks;
    std::optional<DriftPenalty> penalty;
    if (hyper_) {
      if (t > 0 && learner_.growth > 0) {
        const auto width = int64_t(hyper_->spec().generator.all_settings().at("width"));
        Hypernetwork wider = hyper_->grown(graph_, width + learner_.growth);
        hyper_.emplace(std::move(wider));
        graph_ = hyper_->graph();
      }
      graph_ = with_values(graph_, {{"condition", task_number(t)}});
      hooks.push_back(&penalty.emplace(*hyper_, graph_, int64_t(t), drift_));
    }
    Trainer trainer(graph_, stream_.tasks[t].train, nullptr, options_, {}, hooks);
    try {
      if (!trainer.train().finished) throw usage_error("reproduce", "was interrupted");
    } catch (const UserError& e) {
      if (!is_divergence(e)) throw;
      return false;
    }
    graph_ = trainer.network();
    return true;
  }

  double accuracy(size_t t, const Dataset& data) const {
    const Graph plain = hyper_ ? hyper_->fixed(graph_, task_number(t)) : graph_;
    return evaluate(plain, data, options_.loss, options_.eval_batch).accuracy;
  }

  const Stream& stream_;
  const Learner& learner_;
  double drift_;
  TrainOptions options_;
  uint64_t seed_;
  std::optional<Hypernetwork> hyper_;
  Graph graph_;
};

/// Learned parameters at the end of a stream.
int64_t final_size(const Stream& s, const Learner& l, uint64_t seed) {
  HypernetworkSpec spec = *l.spec;
  spec.numbers = 0;
  spec.tasks = int64_t(s.tasks.size());
  if (l.growth > 0)
    spec.generator.settings["width"] = spec.generator.all_settings().at("width") +
                                       double(l.growth * (int64_t(s.tasks.size()) - 1));
  return Hypernetwork(s.model.build(seed, s.tasks[0].train.get()), spec, seed).learned_elements();
}

/// The chunked generator, of 8 units at least, that is no smaller than the recurrent one is at the
/// end.
void widen(const Stream& s, Learner& chunked, int64_t least, uint64_t seed) {
  for (double width = 8;; ++width) {
    chunked.spec->generator.settings["width"] = width;
    if (final_size(s, chunked, seed) >= least) return;
  }
}

class Lesson {
 public:
  Lesson(RunCount& count, std::vector<double> rates, uint64_t seed, int64_t seeds)
      : count_(count), rates_(std::move(rates)), seed_(seed), seeds_(seeds) {}

  void run(const Stream& s, Learner& l) {
    double best = -1;
    for (double rate : rates_)
      for (double drift : l.drifts) {
        const Outcome o = StreamRun(s, l, rate, drift, seed_ + 1000).run(&TaskData::val);
        tell(s, l, rate, drift, o);
        if (o.accuracy <= best) continue;
        best = o.accuracy;
        l.rate = rate;
        l.drift = drift;
      }
    for (int64_t i = 0; i < seeds_; ++i) {
      const Outcome o = StreamRun(s, l, l.rate, l.drift, seed_ + uint64_t(i)).run(&TaskData::test);
      tell(s, l, l.rate, l.drift, o);
      l.accuracy.add(o.accuracy);
      l.first.add(o.first);
      l.forgetting.add(o.forgetting);
      l.learned = o.learned;
    }
  }

 private:
  void tell(const Stream& s, const Learner& l, double rate, double drift, const Outcome& o) {
    count_.done(s.name + ", " + l.name + " at " + std::to_string(rate) + ", drift " +
                std::to_string(drift) + ": " + std::to_string(o.accuracy) + " %");
  }

  RunCount& count_;
  std::vector<double> rates_;
  uint64_t seed_;
  int64_t seeds_;
};

void report(const std::string& prefix, const Learner& l, nlohmann::ordered_json& into) {
  into[prefix + "accuracy"] = l.accuracy.mean();
  into[prefix + "accuracy_error"] = l.accuracy.error();
  into[prefix + "accuracy_when_learned"] = l.first.mean();
  into[prefix + "forgetting"] = l.forgetting.mean();
  into[prefix + "learned"] = l.learned;
  into[prefix + "rate"] = l.rate;
  if (l.spec) into[prefix + "drift"] = l.drift;
}

std::vector<double> read_numbers(const Yaml& list) {
  std::vector<double> numbers;
  for (const Yaml& v : list.items()) numbers.push_back(v.number());
  if (numbers.empty()) list.fail("is an empty list");
  return numbers;
}

}  // namespace

Findings measure_continual_hypernetworks(Fields& recipe, const MeasureOptions& options) {
  const auto read_spec = [&](const char* key) {
    Fields fields(recipe.require(key), key);
    HypernetworkSpec spec = read_hypernetwork(fields);
    spec.embedding = fields.integer("task_embedding", spec.embedding, 1, 4096);
    fields.done();
    if (spec.encoded) fields.map().fail("the vectors of tasks are learned and not encoded");
    if (spec.generator.kind != key) fields.map().fail("kind must be '" + std::string(key) + "'");
    return spec;
  };
  const HypernetworkSpec recurrent = read_spec("recurrent"), chunked = read_spec("chunked");
  const int64_t growth = recipe.integer("growth", 0, 0, 4096);
  const std::vector<double> rates = read_numbers(recipe.require("rates"));
  const std::vector<double> drifts = read_numbers(recipe.require("drifts"));
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  std::vector<Stream> streams;
  for (const Yaml& part : recipe.require("streams").items()) streams.push_back(read_stream(part));
  if (streams.empty()) recipe.map().fail("names no stream of tasks");
  recipe.done();
  const auto tried = int64_t(rates.size()), grid = tried * int64_t(drifts.size());
  RunCount count(int64_t(streams.size()) * (2 * (grid + seeds) + tried + seeds));
  Lesson lesson(count, rates, options.seed, seeds);
  Findings f;
  f.holds = true;
  for (const Stream& s : streams) {
    Learner ours{.name = "recurrent", .spec = recurrent, .growth = growth, .drifts = drifts};
    Learner base{.name = "chunked", .spec = chunked, .drifts = drifts};
    Learner plain{.name = "fine-tuning"};
    widen(s, base, final_size(s, ours, options.seed), options.seed);
    for (Learner* l : {&ours, &base, &plain}) lesson.run(s, *l);
    const Tally gain = paired(ours.accuracy, base.accuracy);
    const Tally over_plain = paired(ours.accuracy, plain.accuracy);
    const std::string name = s.name + "_";
    report(name, ours, f.measured);
    f.measured[name + "points_over_chunked"] = gain.mean();
    f.measured[name + "points_over_chunked_error"] = gain.error();
    f.measured[name + "points_over_fine_tuning"] = over_plain.mean();
    report(name, base, f.baseline);
    report(name + "fine_tuning_", plain, f.baseline);
    f.holds = f.holds && gain.mean() > gain.error() && over_plain.mean() > over_plain.error();
  }
  f.measured["seeds"] = seeds;
  return f;
}

}  // namespace espalier

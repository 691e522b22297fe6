// DeYO (Lee et al. 2024): networks that learned digits on grounds whose colour mostly tells the
// class meet corrupted digits on grounds of any colour, adapting as they answer: from samples whose
// answer hangs on shape, beside those of little entropy (EATA), all (TENT), and none.
#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/shifted.h"
#include "data/shuffled_patches.h"
#include "data/source.h"
#include "recipe/recipe.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "train/test_time.h"

namespace espalier {
namespace {

struct AdaptedModel {
  std::string name;
  ModelPart model;
  std::vector<int64_t> batches;
};

struct Damage {
  Corruption kind = Corruption::kNone;
  double severity = 0;
};

struct Setup {
  std::shared_ptr<const Dataset> train, test;
  TrainOptions training;
  double learned_agreement = 0, met_agreement = 0;
  std::vector<Damage> damages;
  int64_t met = 0;  ///< samples of a stream
};

AdaptedModel read_model_part(const Yaml& part) {
  Fields fields(part, "networks");
  AdaptedModel m;
  m.name = fields.require_string("name");
  m.model = read_model(fields.require("model"));
  for (const Yaml& b : fields.require("batches").items()) {
    m.batches.push_back(b.integer());
    if (m.batches.back() < 1) b.fail("a batch needs a sample");
  }
  fields.done();
  if (m.batches.empty()) part.fail("names no batch");
  return m;
}

Damage read_damage(const Yaml& part) {
  Fields fields(part, "damages");
  Damage d;
  fields.require("kind");
  d.kind = Corruption(fields.choice("kind", 0, corruption_names()));
  d.severity = fields.number("severity", 0, 0, 100);
  fields.done();
  return d;
}

/// Thresholds of a method: what is missing keeps its authors' value.
TestTimeOptions read_method(Fields& recipe, TestTimeMethod method) {
  TestTimeOptions o = TestTimeOptions::of(method);
  const Yaml* part = recipe.find(test_time_methods()[size_t(method)]);
  if (!part) return o;
  Fields fields(*part, test_time_methods()[size_t(method)]);
  o.most_entropy = fields.number("most_entropy", o.most_entropy, 0.0001, 1);
  o.even_entropy = fields.number("even_entropy", o.even_entropy, 0, 1);
  if (method == TestTimeMethod::kDeyo) {
    o.least_drop = fields.number("least_drop", o.least_drop, -1, 0.9999);
    o.patches = fields.integer("patches", o.patches, 2, 1024);
  }
  fields.done();
  return o;
}

/// What a network of this seed learned first.
Graph source(const Setup& s, const AdaptedModel& m, uint64_t seed) {
  const auto train = on_coloured_ground(s.train, s.learned_agreement, seed);
  TrainOptions o = s.training;
  o.seed = seed;
  o.name = m.name + ", before";
  Trainer trainer(m.model.build(seed, train.get()), train, nullptr, o);
  trainer.train();
  return trainer.network();
}

/// Test samples as a run of this seed meets them: each corruption for a while.
std::shared_ptr<const Dataset> stream(const Setup& s, uint64_t seed) {
  const auto plain = on_coloured_ground(s.test, s.met_agreement, seed + 1);
  const std::vector<int64_t> order =
      Rng(seed, stream_of("order of the stream")).permutation(plain->size());
  const auto met = std::min<int64_t>(s.met, plain->size());
  const auto kinds = int64_t(s.damages.size());
  std::vector<SamplesOf> parts;
  for (int64_t k = 0; k < kinds; ++k)
    parts.push_back(
        {corrupted(plain, s.damages[size_t(k)].kind, s.damages[size_t(k)].severity, seed + 2),
         {order.begin() + met * k / kinds, order.begin() + met * (k + 1) / kinds}});
  return in_turn(std::move(parts));
}

struct Runner {
  TestTimeOptions options;
  std::string name;
  double rate = 0;
  Tally accuracy, late;
  int64_t chosen = 0, answered = 0, forward = 0, backward = 0;
};

}  // namespace

Findings measure_test_time_adaptation(Fields& recipe, const MeasureOptions& options) {
  Setup s;
  const DataSource data(read_data(recipe.require("data")));
  s.train = data.split(Split::train);
  s.test = data.split(Split::test);
  s.training = read_training(recipe.require("training"));
  s.learned_agreement = recipe.number("learned_agreement", 0.9, 0, 1);
  s.met_agreement = recipe.number("met_agreement", 0.1, 0, 1);
  s.met = recipe.integer("samples", 2000, 8);
  for (const Yaml& d : recipe.require("damages").items()) s.damages.push_back(read_damage(d));
  std::vector<AdaptedModel> models;
  for (const Yaml& m : recipe.require("networks").items()) models.push_back(read_model_part(m));
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  std::vector<TestTimeOptions> methods;
  for (const auto method : {TestTimeMethod::kTent, TestTimeMethod::kEata, TestTimeMethod::kDeyo})
    methods.push_back(read_method(recipe, method));
  recipe.done();
  if (models.empty() || rates.empty() || s.damages.empty())
    recipe.map().fail("networks, rates and damages must not be empty");

  check_patches(s.test->picture_shape(), methods.back().patches, s.test->description());

  int64_t cases = 0;
  for (const AdaptedModel& m : models) cases += int64_t(m.batches.size());
  const int64_t of_stream = std::min<int64_t>(s.met, s.test->size());
  Progress progress("test-time adaptation",
                    cases * int64_t(methods.size()) * (int64_t(rates.size()) + seeds) * of_stream,
                    "samples");
  Findings f;
  f.holds = true;
  for (const AdaptedModel& m : models) {
    // The last one chooses rates and is not counted.
    std::vector<Graph> sources;
    std::vector<std::shared_ptr<const Dataset>> streams;
    Tally unadapted, learned;
    for (int64_t i = 0; i <= seeds; ++i) {
      const uint64_t seed = options.seed + uint64_t(i == seeds ? 1000 : i);
      sources.push_back(source(s, m, seed));
      streams.push_back(stream(s, seed));
      if (i == seeds) break;
      unadapted.add(evaluate(sources.back(), *streams.back(), Loss::kCrossEntropy).accuracy);
      learned.add(evaluate(sources.back(), *on_coloured_ground(s.test, s.learned_agreement, seed),
                           Loss::kCrossEntropy)
                      .accuracy);
    }
    f.baseline[m.name + "_accuracy_where_learned"] = 100 * learned.mean();
    for (int64_t batch : m.batches) {
      const std::string k = m.name + "_batch_" + std::to_string(batch) + "_";
      std::vector<Runner> runners;
      for (const TestTimeOptions& method : methods) {
        Runner r{method, test_time_methods()[size_t(method.method)], 0, {}, {}, 0, 0, 0, 0};
        r.options.batch = batch;
        double best = -1;
        for (double rate : rates) {
          r.options.rate = rate;
          r.options.seed = options.seed + 1000;
          const double got =
              adapt_to(sources.back(), *streams.back(), r.options, &progress).accuracy;
          if (got > best) {
            best = got;
            r.rate = rate;
          }
        }
        r.options.rate = r.rate;
        for (int64_t i = 0; i < seeds; ++i) {
          r.options.seed = options.seed + uint64_t(i);
          const TestTimeResult got =
              adapt_to(sources[size_t(i)], *streams[size_t(i)], r.options, &progress);
          r.accuracy.add(got.accuracy);
          r.late.add(got.late_accuracy);
          r.chosen += got.counts.chosen;
          r.answered += got.counts.answered;
          r.forward += got.counts.forward;
          r.backward += got.counts.backward;
        }
        log_info(k + r.name + ": " + std::to_string(100 * r.accuracy.mean()) + " % at rate " +
                 std::to_string(r.rate));
        runners.push_back(std::move(r));
      }
      const Runner& ours = runners.back();
      f.measured[k + "accuracy"] = 100 * ours.accuracy.mean();
      f.measured[k + "late_accuracy"] = 100 * ours.late.mean();
      f.measured[k + "standard_error"] = 100 * ours.accuracy.error();
      f.measured[k + "rate"] = ours.rate;
      f.measured[k + "learned_from_percent"] = 100 * double(ours.chosen) / double(ours.answered);
      f.measured[k + "backward_per_answer"] = double(ours.backward) / double(ours.answered);
      const auto beside = [&](const std::string& name, const Tally& accuracy) {
        const Tally gain = paired(ours.accuracy, accuracy);
        f.baseline[k + "accuracy_" + name] = 100 * accuracy.mean();
        f.measured[k + "gain_over_" + name] = 100 * gain.mean();
        f.measured[k + "gain_over_" + name + "_error"] = 100 * gain.error();
        f.holds = f.holds && gain.mean() > gain.error();
      };
      beside("none", unadapted);
      for (size_t i = 0; i + 1 < runners.size(); ++i) {
        beside(runners[i].name, runners[i].accuracy);
        f.baseline[k + "late_accuracy_" + runners[i].name] = 100 * runners[i].late.mean();
        f.baseline[k + "rate_" + runners[i].name] = runners[i].rate;
        f.baseline[k + "learned_from_percent_" + runners[i].name] =
            100 * double(runners[i].chosen) / double(runners[i].answered);
      }
    }
  }
  f.measured["seeds"] = seeds;
  f.measured["samples"] = of_stream;
  f.measured["data"] = s.test->description();
  return f;
}

}  // namespace espalier

// TempNet (Qiu et al. 2024): whether a small network that predicts a temperature for each answer
// from its logits, taught by the robust loss, does better than one temperature for all.
#include "reproduce/temperature_network.h"

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "base/progress.h"
#include "base/quietly.h"
#include "data/source.h"
#include "recipe/recipe.h"
#include "reproduce/tuning_tally.h"
#include "runtime/session.h"

namespace espalier {

std::vector<double> read_rising(const Yaml& list) {
  std::vector<double> values;
  for (const Yaml& v : list.items()) {
    if (!(v.number() > 0)) v.fail("must be above 0");
    if (!values.empty() && v.number() <= values.back()) v.fail("the numbers must rise");
    values.push_back(v.number());
  }
  if (values.empty()) list.fail("is an empty list");
  return values;
}

bool at_edge(const std::vector<double>& list, double chosen) {
  return list.size() > 1 && (chosen == list.front() || chosen == list.back());
}

namespace {

/// All logits of a data set with their labels, to be looked at under many temperatures.
class Answers {
 public:
  Answers(const Graph& network, const Dataset& data) {
    Model model(network);
    constexpr int64_t kBatch = 250;
    for (int64_t first = 0; first < data.size(); first += kBatch) {
      std::vector<int64_t> rows;
      for (int64_t i = first; i < std::min(first + kBatch, data.size()); ++i) rows.push_back(i);
      const Batch batch = data.fetch(rows);
      const Tensor y = model.run({batch.inputs}).at(0);
      classes_ = y.shape().back();
      logits_.insert(logits_.end(), y.data<float>(), y.data<float>() + y.size());
      const auto* labels = batch.targets.data<int64_t>();
      labels_.insert(labels_.end(), labels, labels + batch.targets.size());
    }
  }

  /// The mean cross-entropy of logits divided by `temperature`.
  double loss(double temperature) const {
    double sum = 0;
    for (size_t i = 0; i < labels_.size(); ++i) {
      const float* row = logits_.data() + int64_t(i) * classes_;
      const auto top = double(*std::max_element(row, row + classes_));
      double parts = 0;
      for (int64_t c = 0; c < classes_; ++c)
        parts += std::exp((double(row[c]) - top) / temperature);
      sum += std::log(parts) + (top - double(row[labels_[i]])) / temperature;
    }
    return sum / double(labels_.size());
  }

  /// The temperature of the least loss, by golden sections: the loss is convex in its reciprocal.
  double best_temperature() const {
    const double ratio = (std::sqrt(5.0) - 1) / 2;
    double low = 0.1, high = 10;  // of the reciprocal
    double a = high - ratio * (high - low), b = low + ratio * (high - low);
    double at_a = loss(1 / a), at_b = loss(1 / b);
    while (high - low > 1e-3) {
      if (at_a < at_b) {
        high = b;
        b = a;
        at_b = at_a;
        a = high - ratio * (high - low);
        at_a = loss(1 / a);
      } else {
        low = a;
        a = b;
        at_a = at_b;
        b = low + ratio * (high - low);
        at_b = loss(1 / b);
      }
    }
    return 2 / (low + high);
  }

 private:
  int64_t classes_ = 0;
  std::vector<float> logits_;
  std::vector<int64_t> labels_;
};

}  // namespace

struct LanguageTemperatures::Setup {
  int64_t seeds = 3;
  uint64_t first_seed = 0;
  ModelPart model;
  std::shared_ptr<const Dataset> train, val, test;
  TrainOptions training, tempering;
  AdapterSpec net;
  std::vector<double> rhos, joint_rhos;

  Graph trained(const Graph& network, TrainOptions o, uint64_t seed) const {
    o.seed = seed;
    o.log_every = 0;
    const Quietly quietly;
    Trainer trainer(network, train, nullptr, o);
    trainer.train();
    return trainer.network();
  }
  Graph plain(uint64_t seed) const {
    return trained(model.build(seed, train.get()), training, seed);
  }

  /// TempNet behind a trained network, which stays; without rho by the likelihood.
  Graph tempered(const Graph& frozen, std::optional<double> rho, uint64_t seed) const {
    const AdaptedNetwork a = adapted(frozen, net, {train->sample_shape(), train, seed});
    TrainOptions o = tempering;
    o.rho = rho;
    o.trained = a.trained;
    return trained(a.graph, o, seed);
  }
  /// Network and TempNet from their first values on, by the steps of the network alone.
  Graph joint(double rho, uint64_t seed) const {
    AdapterSpec all = net;
    all.also = {"*"};
    const AdaptedNetwork a =
        adapted(model.build(seed, train.get()), all, {train->sample_shape(), train, seed});
    TrainOptions o = training;
    o.rho = rho;
    o.trained = a.trained;
    return trained(a.graph, o, seed);
  }
  double loss(const Graph& network, const Dataset& data) const {
    return evaluate(network, data, Loss::kCrossEntropy).loss;
  }
};

LanguageTemperatures::~LanguageTemperatures() = default;

LanguageTemperatures::LanguageTemperatures(const Yaml& part, int64_t seeds, uint64_t first_seed)
    : setup_(std::make_unique<Setup>()) {
  Setup& s = *setup_;
  s.seeds = seeds;
  s.first_seed = first_seed;
  Fields fields(part, "language");
  s.model = read_model(fields.require("model"));
  const DataSource source(read_data(fields.require("data")));
  s.train = source.split(Split::train);
  s.val = source.split(Split::val);
  s.test = source.split(Split::test);
  s.training = read_training(fields.require("training"));
  s.net = read_adapter(fields.require("adapt"));
  s.tempering = read_training(fields.require("then"), s.training);
  s.rhos = read_rising(fields.require("rhos"));
  s.joint_rhos = read_rising(fields.require("joint_rhos"));
  fields.done();
}

bool LanguageTemperatures::measure(Findings& f) const {
  const Setup& s = *setup_;
  const uint64_t tuning = s.first_seed + 1000;
  Progress progress("temperatures of a language model",
                    int64_t(s.rhos.size() + s.joint_rhos.size()) + 5 * s.seeds, "trainings");
  const auto least = [&](const std::vector<double>& rhos, const auto& network) {
    double best = 0, lowest = INFINITY;
    for (double rho : rhos) {
      const double loss = s.loss(network(rho), *s.val);
      log_info("rho " + std::to_string(rho) + ": validation loss " + std::to_string(loss));
      progress.advance();
      if (loss >= lowest) continue;
      lowest = loss;
      best = rho;
    }
    return best;
  };
  const Graph tuned = s.plain(tuning);
  const double rho = least(s.rhos, [&](double r) { return s.tempered(tuned, r, tuning); });
  const double joint_rho = least(s.joint_rhos, [&](double r) { return s.joint(r, tuning); });
  Tally unit, fixed, temperature, robust, likely, joint, joint_fixed;
  for (int64_t i = 0; i < s.seeds; ++i) {
    const uint64_t seed = s.first_seed + uint64_t(i);
    const Graph frozen = s.plain(seed);
    const Answers test(frozen, *s.test);
    temperature.add(Answers(frozen, *s.val).best_temperature());
    unit.add(test.loss(1));
    fixed.add(test.loss(temperature.values.back()));
    progress.advance();
    robust.add(s.loss(s.tempered(frozen, rho, seed), *s.test));
    progress.advance();
    likely.add(s.loss(s.tempered(frozen, std::nullopt, seed), *s.test));
    progress.advance();
    const Graph both = s.joint(joint_rho, seed);
    joint.add(s.loss(both, *s.test));
    joint_fixed.add(Answers(both, *s.test).loss(Answers(both, *s.val).best_temperature()));
    progress.advance(2);
  }
  const Tally gain = paired(fixed, robust), joint_gain = paired(fixed, joint);
  f.baseline["test_loss"] = fixed.mean();
  f.baseline["best_temperature"] = temperature.mean();
  f.baseline["test_loss_at_temperature_1"] = unit.mean();
  f.measured["test_loss"] = robust.mean();
  f.measured["loss_below_fixed"] = gain.mean();
  f.measured["loss_below_fixed_error"] = gain.error();
  f.measured["rho"] = rho;
  f.measured["rho_at_edge"] = at_edge(s.rhos, rho);
  f.measured["test_loss_by_likelihood"] = likely.mean();
  f.measured["likelihood_below_fixed"] = paired(fixed, likely).mean();
  f.measured["likelihood_below_fixed_error"] = paired(fixed, likely).error();
  f.measured["joint_test_loss"] = joint.mean();
  f.measured["joint_below_fixed"] = joint_gain.mean();
  f.measured["joint_below_fixed_error"] = joint_gain.error();
  f.measured["joint_test_loss_rescaled"] = joint_fixed.mean();
  f.measured["joint_rho"] = joint_rho;
  f.measured["joint_rho_at_edge"] = at_edge(s.joint_rhos, joint_rho);
  return gain.mean() > gain.error();
}

Findings measure_temperature_network(Fields& recipe, const MeasureOptions& options) {
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  const LanguageTemperatures language(recipe.require("language"), seeds, options.seed);
  const ContrastiveTemperatures contrastive(recipe.require("contrastive"), seeds, options.seed);
  recipe.done();
  Findings f;
  const bool likely = language.measure(f);
  const bool found = contrastive.measure(f);
  f.measured["seeds"] = seeds;
  f.holds = likely && found;
  return f;
}

}  // namespace espalier

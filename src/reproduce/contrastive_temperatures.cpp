// TempNet in contrastive learning: how well embeddings of one view of a picture find those of
// another, by the way their temperature came about.
#include <algorithm>
#include <functional>

#include "base/log.h"
#include "base/progress.h"
#include "base/quietly.h"
#include "data/source.h"
#include "recipe/recipe.h"
#include "reproduce/temperature_network.h"
#include "reproduce/tuning_tally.h"
#include "train/contrastive.h"
#include "train/temperature.h"

namespace espalier {
namespace {

using Kind = ContrastiveOptions::Kind;

struct Way {
  std::string name;
  std::vector<double> choices;  ///< of what the recipe lets it choose
  double chosen = 0;
  Tally recall_1, recall_5, same_class;
};

}  // namespace

struct ContrastiveTemperatures::Setup {
  int64_t seeds = 3;
  uint64_t first_seed = 0;
  ModelPart model;
  std::shared_ptr<const Dataset> train, val, test;
  TrainOptions training;
  TemperatureNet net;
  double temperature_rate = 1;
  std::vector<double> temperatures, rhos;

  /// "fixed_in_batch", "fixed", "learned" or "tempnet".
  Graph trained(const std::string& way, double choice, uint64_t seed) const {
    TrainOptions o = training;
    o.seed = seed;
    o.log_every = 0;
    o.loss = Loss::kContrastive;
    o.contrastive.kind =
        way == "fixed_in_batch" || way == "learned" ? Kind::kInfoNce : Kind::kGlobal;
    Graph network = model.build(seed, train.get());
    if (way == "learned") {
      network = with_learned_temperature(network, choice);
    } else if (way == "tempnet") {
      network = with_temperature_net(network, net, seed);
      o.rho = choice;
      for (ValueId v : network.constants())
        if (const Value& value = network.value(v); value.name.starts_with(kTemperature))
          if (value.role == Role::kParameter) o.rate_factors[value.name] = temperature_rate;
    } else {
      network = with_embedding(network);
      o.contrastive.temperature = choice;
    }
    o.output = network.value(network.outputs()[0]).name;
    const Quietly quietly;
    Trainer trainer(network, numbered(train), nullptr, o);
    trainer.train();
    return trainer.network();
  }
  Retrieval found(const Graph& network, const std::shared_ptr<const Dataset>& data) const {
    return retrieval(network, data, training.augment, first_seed + 2000);
  }
};

ContrastiveTemperatures::~ContrastiveTemperatures() = default;

ContrastiveTemperatures::ContrastiveTemperatures(const Yaml& part, int64_t seeds,
                                                 uint64_t first_seed)
    : setup_(std::make_unique<Setup>()) {
  Setup& s = *setup_;
  s.seeds = seeds;
  s.first_seed = first_seed;
  Fields fields(part, "contrastive");
  s.model = read_model(fields.require("model"));
  const DataSource source(read_data(fields.require("data")));
  s.train = source.split(Split::train);
  s.val = source.split(Split::val);
  s.test = source.split(Split::test);
  s.training = read_training(fields.require("training"));
  s.training.contrastive.gamma = fields.number("gamma", 0.8, 1e-6, 1);
  s.net.reads = TemperatureNet::Reads::kEmbeddings;
  s.net.width = fields.integer("prototypes", 256, 1, 65536);
  s.net.least = fields.number("least", 0.01, 1e-6, 1e6);
  s.net.most = fields.number("most", 0.5, 1e-6, 1e6);
  s.net.dropout = fields.number("dropout", 0.5, 0, 0.99);
  s.temperature_rate = fields.number("temperature_rate", 1, 1e-9, 1e9);
  const Yaml& temperatures = fields.require("temperatures");
  const Yaml& rhos = fields.require("rhos");
  s.temperatures = read_rising(temperatures);
  s.rhos = read_rising(rhos);
  fields.done();
  if (s.rhos.size() != s.temperatures.size())
    rhos.fail("has " + std::to_string(s.rhos.size()) + " values, temperatures has " +
                  std::to_string(s.temperatures.size()),
              "each way chooses from as many");
  s.net.check("contrastive");
}

bool ContrastiveTemperatures::measure(Findings& f) const {
  const Setup& s = *setup_;
  std::vector<Way> ways = {{"fixed_in_batch", s.temperatures, 0, {}, {}, {}},
                           {"fixed", s.temperatures, 0, {}, {}, {}},
                           {"learned", s.temperatures, 0, {}, {}, {}},
                           {"tempnet", s.rhos, 0, {}, {}, {}}};
  Progress progress("temperatures of contrastive learning",
                    int64_t(ways.size()) * (int64_t(s.rhos.size()) + s.seeds), "trainings");
  for (Way& w : ways) {
    double best = -1;
    for (double choice : w.choices) {
      const Retrieval r = s.found(s.trained(w.name, choice, s.first_seed + 1000), s.val);
      log_info(w.name + " at " + std::to_string(choice) + ": " + std::to_string(r.recall_1));
      progress.advance();
      if (r.recall_1 <= best) continue;
      best = r.recall_1;
      w.chosen = choice;
    }
    for (int64_t i = 0; i < s.seeds; ++i) {
      const Retrieval r = s.found(s.trained(w.name, w.chosen, s.first_seed + uint64_t(i)), s.test);
      w.recall_1.add(100 * r.recall_1);
      w.recall_5.add(100 * r.recall_5);
      w.same_class.add(100 * r.same_class);
      progress.advance();
    }
  }
  const Way& ours = ways.back();
  bool above = true;
  for (const Way& w : ways) {
    const bool own = &w == &ours;
    nlohmann::ordered_json& to = own ? f.measured : f.baseline;
    const std::string prefix = own ? "" : w.name + "_";
    to[prefix + "recall_at_1"] = w.recall_1.mean();
    to[prefix + "recall_at_1_error"] = w.recall_1.error();
    to[prefix + "recall_at_5"] = w.recall_5.mean();
    to[prefix + "same_class"] = w.same_class.mean();
    to[prefix + (own ? "contrastive_rho" : "temperature")] = w.chosen;
    to[prefix + (own ? "contrastive_rho_at_edge" : "temperature_at_edge")] =
        at_edge(w.choices, w.chosen);
    if (own) continue;
    const Tally more = paired(ours.recall_1, w.recall_1);
    f.measured["recall_above_" + w.name] = more.mean();
    f.measured["recall_above_" + w.name + "_error"] = more.error();
    above = above && more.mean() > more.error();
  }
  return above;
}

}  // namespace espalier

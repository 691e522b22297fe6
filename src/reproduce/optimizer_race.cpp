#include "reproduce/optimizer_race.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/quietly.h"
#include "base/rng.h"
#include "base/threads.h"
#include "data/source.h"
#include "recipe/journal.h"
#include "recipe/storage_part.h"
#include "train/divergence.h"

namespace espalier {
namespace {

using Json = nlohmann::json;
constexpr double kNever = std::numeric_limits<double>::infinity();

/// Refreshes come every few steps and other programs' turns now and then: means of stretches hold
/// the first, their median leaves out the second.
double robust_mean(const std::vector<float>& ms) {
  constexpr size_t kStretch = 40;
  std::vector<double> means;
  for (size_t at = 0; at < ms.size(); at += kStretch) {
    const size_t end = std::min(at + kStretch, ms.size());
    if (end - at < kStretch && at > 0) break;
    const auto first = ms.begin() + int64_t(at);
    means.push_back(std::accumulate(first, ms.begin() + int64_t(end), 0.0) / double(end - at));
  }
  if (means.empty()) return 0;
  const auto middle = means.begin() + int64_t(means.size() / 2);
  std::ranges::nth_element(means, middle);
  return *middle;
}

Json to_json(const RacedRun& r) {
  return {{"rate", r.rate},
          {"seed", r.seed},
          {"diverged", r.diverged},
          {"val_loss", r.val_loss},
          {"test_loss", r.test_loss},
          {"step_ms", r.step_ms},
          {"state_bytes", r.state_bytes}};
}

RacedRun from_json(const std::string& text) {
  const Json j = Json::parse(text);
  RacedRun r;
  r.rate = j.at("rate");
  r.seed = j.at("seed");
  r.diverged = j.at("diverged");
  r.val_loss = j.at("val_loss").get<std::vector<double>>();
  r.test_loss = j.at("test_loss");
  r.step_ms = j.at("step_ms");
  r.state_bytes = j.at("state_bytes");
  return r;
}

double mean_of(const std::vector<RacedRun>& runs, double (*value)(const RacedRun&)) {
  double sum = 0;
  for (const RacedRun& r : runs) sum += value(r);
  return sum / double(runs.size());
}

std::string number_text(double v) {
  std::ostringstream s;
  s.precision(4);
  s << v;
  return s.str();
}

}  // namespace

Contender read_contender(const Yaml& part) {
  Fields fields(part, "a contender");
  Contender c;
  c.name = fields.require_string("name");
  Optimizer fallback;
  fallback.kind = "adamw";
  c.optimizer = read_optimizer(fields.require("optimizer"), fallback);
  const Yaml& rates = fields.require("rates");
  for (const Yaml& rate : rates.items()) {
    c.rates.push_back(rate.number());
    if (!(c.rates.back() > 0) || !std::isfinite(c.rates.back()))
      rate.fail("a rate must be positive");
    if (c.rates.size() > 1 && c.rates.back() <= c.rates[c.rates.size() - 2])
      rate.fail("rates must rise");
  }
  if (c.rates.empty()) rates.fail("a contender needs a rate");
  if (const Yaml* saved = fields.find("saved_activations"))
    c.saved_activations = read_saved_activations(*saved);
  fields.done();
  return c;
}

double RacedRun::last() const { return diverged || val_loss.empty() ? kNever : val_loss.back(); }

double RacedRun::steps_to(double loss, int64_t epoch_steps) const {
  for (size_t i = 0; i < val_loss.size(); ++i) {
    if (val_loss[i] > loss) continue;
    if (i == 0) return double(epoch_steps);
    const double part = (val_loss[i - 1] - loss) / (val_loss[i - 1] - val_loss[i]);
    return double(epoch_steps) * (double(i) + part);
  }
  return kNever;
}

double RacedContender::mean_val_loss() const {
  return mean_of(runs, [](const RacedRun& r) { return r.last(); });
}
double RacedContender::mean_test_loss() const {
  return mean_of(runs, [](const RacedRun& r) { return r.diverged ? kNever : r.test_loss; });
}
double RacedContender::mean_step_ms() const {
  return mean_of(runs, [](const RacedRun& r) { return r.step_ms; });
}

bool RacedContender::at_edge() const {
  return tuning.size() > 1 && (rate() == tuning.front().rate || rate() == tuning.back().rate);
}

const RacedContender& Race::find(const std::string& name) const {
  for (const RacedContender& c : contenders)
    if (c.contender.name == name) return c;
  throw InternalError("no contender is called '" + name + "'");
}

OptimizerRace::OptimizerRace(Fields& recipe, const MeasureOptions& options, int64_t batch)
    : list_(recipe.require("contenders")), first_seed_(options.seed) {
  model_ = read_model(recipe.require("model"));
  data_ = read_data(recipe.require("data"));
  training_ = read_training(recipe.require("training"));
  if (batch > 0) training_.batch = batch;
  seeds_ = recipe.integer("seeds", 3, 1, 100);
  for (const Yaml& part : list_.items()) {
    contenders_.push_back(read_contender(part));
    for (size_t i = 0; i + 1 < contenders_.size(); ++i)
      if (contenders_[i].name == contenders_.back().name)
        part.fail("there are two contenders '" + contenders_.back().name + "'");
  }
  const DataSource source(data_);
  train_ = source.split(Split::train);
  val_ = source.split(Split::val);
  test_ = source.split(Split::test);
  asked_ = recipe.map().dump() + "\nseed " + std::to_string(first_seed_) + ", " +
           std::to_string(num_threads()) + " threads, batches of " +
           std::to_string(training_.batch) + ", " + train_->description();
}

OptimizerRace::~OptimizerRace() = default;

void OptimizerRace::require(const std::vector<std::string>& names) const {
  for (const std::string& name : names)
    if (std::ranges::none_of(contenders_, [&](const Contender& c) { return c.name == name; }))
      list_.fail("a contender '" + name + "' is needed");
}

TrainOptions OptimizerRace::options(const Contender& contender, double rate, uint64_t seed) const {
  TrainOptions o = training_;
  o.optimizer = contender.optimizer;
  if (contender.saved_activations) o.saved_activations = contender.saved_activations;
  o.schedule.peak = rate;
  o.seed = seed;
  o.log_every = 0;
  o.name = contender.name;
  return o;
}

StepBytes OptimizerRace::bytes(const Contender& contender, DType precision) const {
  TrainOptions o = options(contender, contender.rates.front(), first_seed_);
  o.precision = precision;
  const Quietly quietly;
  const Trainer trainer(model_.build(first_seed_, train_.get()), train_, val_, o);
  return {trainer.optimizer_bytes(), trainer.saved_bytes(), trainer.memory().arena};
}

RacedRun OptimizerRace::train(const Contender& contender, double rate, uint64_t seed) const {
  TrainOptions o = options(contender, rate, seed);
  RacedRun r;
  r.rate = rate;
  r.seed = seed;
  const Quietly quietly;
  std::vector<TrainHook*> hooks;
  std::optional<ProgramHook> program;
  if (contender.program) {
    o.optimizer.kind = "signsgd";  // without state, and replaced
    o.optimizer.settings.clear();
    hooks.push_back(&program.emplace(*contender.program, o.optimizer.weight_decay));
  }
  Trainer trainer(model_.build(seed, train_.get()), train_, val_, o, {}, hooks);
  r.state_bytes = trainer.optimizer_bytes();
  try {
    const TrainResult result = trainer.train();
    if (!result.finished)
      throw usage_error("reproduce", "was interrupted",
                        "the same command goes on where it stopped");
    for (const EpochReport& e : result.history) r.val_loss.push_back(e.val_loss);
    r.test_loss = trainer.evaluate(*test_).loss;
  } catch (const UserError& e) {
    if (!is_divergence(e)) throw;
    r.diverged = true;
  }
  r.step_ms = robust_mean(trainer.step_ms());
  return r;
}

Journal& OptimizerRace::journal() {
  if (journal_) return *journal_;
  const std::filesystem::path cache = cache_folder("reproduce");
  if (cache.empty())
    throw bad_input("reproduce", "there is no cache folder to keep finished runs in",
                    "set ESPALIER_CACHE or HOME");
  folder_ = cache / ("race-" + std::to_string(stream_of(asked_)));
  make_folder(folder_);
  journal_ = std::make_unique<Journal>(folder_, asked_);
  return *journal_;
}

double OptimizerRace::once(const std::string& key, const std::function<double()>& compute) {
  // JSON knows no infinity, which stands for what diverged.
  const auto text = [&] {
    const double v = compute();
    return std::isfinite(v) ? Json(v).dump() : std::string("null");
  };
  const Json kept = Json::parse(journal().once(key, text));
  return kept.is_null() ? kNever : kept.get<double>();
}

void OptimizerRace::forget() {
  journal_.reset();
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

RacedRun OptimizerRace::run_once(const Contender& c, double rate, uint64_t seed) {
  const std::string key = c.name + " rate " + number_text(rate) + " seed " + std::to_string(seed);
  const RacedRun r =
      from_json(journal().once(key, [&] { return to_json(train(c, rate, seed)).dump(); }));
  log_info(key + ": " + (r.diverged ? "diverged" : "loss " + number_text(r.last())) + ", " +
           number_text(r.step_ms) + " ms a step");
  return r;
}

RacedContender OptimizerRace::tuned(const Contender& c) {
  RacedContender raced{c, {}, {}};
  for (double rate : c.rates) raced.tuning.push_back(run_once(c, rate, first_seed_));
  raced.runs.push_back(*std::ranges::min_element(raced.tuning, {}, &RacedRun::last));
  return raced;
}

RacedContender OptimizerRace::run(const Contender& contender) {
  RacedContender c = tuned(contender);
  for (int64_t s = 1; s < seeds_; ++s)
    c.runs.push_back(run_once(contender, c.rate(), first_seed_ + uint64_t(s)));
  return c;
}

Race OptimizerRace::run() {
  Race race;
  race.epoch_steps =
      training_.epoch_steps > 0 ? training_.epoch_steps : train_->size() / training_.batch;
  race.steps = training_.epochs * race.epoch_steps;
  race.data = {train_->description(), test_->description()};
  for (const Contender& c : contenders_) race.contenders.push_back(tuned(c));
  // Seeds in turns, so that what slows the machine for a while slows all.
  for (int64_t s = 1; s < seeds_; ++s)
    for (RacedContender& c : race.contenders)
      c.runs.push_back(run_once(c.contender, c.rate(), first_seed_ + uint64_t(s)));
  return race;
}

void report(const RacedContender& c, nlohmann::ordered_json& into, const std::string& prefix) {
  const std::string name = prefix + c.contender.name;
  double low = kNever, high = -kNever;
  for (const RacedRun& r : c.runs) {
    const double loss = r.diverged ? kNever : r.test_loss;
    low = std::min(low, loss);
    high = std::max(high, loss);
  }
  into[name + "_rate"] = c.rate();
  into[name + "_rate_at_edge"] = c.at_edge();
  into[name + "_val_loss"] = c.mean_val_loss();
  into[name + "_test_loss"] = c.mean_test_loss();
  into[name + "_test_loss_spread"] = high - low;
  into[name + "_step_ms"] = c.mean_step_ms();
  into[name + "_state_bytes"] = c.state_bytes();
}

}  // namespace espalier

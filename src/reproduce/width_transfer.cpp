// Maximal update parametrisation (Yang & Hu 2021; Yang et al. 2022): whether features move as far
// at every width, whether the best learning rate stays where it is, and whether what was found on
// the narrowest network serves the widest, against the standard and the neural tangent kernel's
// parametrisation.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/source.h"
#include "recipe/coordinate_check.h"
#include "reproduce/rates.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"

namespace espalier {
namespace {

constexpr const char *kStandard = "standard", *kNtk = "ntk", *kMup = "mup";
/// Seeds for choosing rates are not those that count.
constexpr uint64_t kTuningSeeds = 1000;

struct Study {
  std::string name;
  WidthFamily family;
  CoordinateOptions check;
  std::vector<int64_t> multiples;
  std::vector<double> rates;
};

std::vector<int64_t> read_multiples(const Yaml& list) {
  std::vector<int64_t> multiples;
  for (const Yaml& m : list.items()) {
    multiples.push_back(m.integer());
    if (multiples.back() < 1 ||
        (multiples.size() > 1 && multiples.back() <= multiples[multiples.size() - 2]))
      m.fail("multiples must be at least 1, and rise");
  }
  if (multiples.size() < 2) list.fail("two widths are needed, and more are better");
  return multiples;
}

Study read_study(const Yaml& part, uint64_t seed) {
  Fields fields(part, "a network");
  Study s;
  s.name = fields.require_string("name");
  s.family.model = read_model(fields.require("model"));
  const DataSpec data = read_data(fields.require("data"));
  std::optional<ParametrizationPart> by_width;
  const Yaml& training = fields.require("training");
  s.family.training = read_training(training, {}, 1, nullptr, &by_width);
  if (!by_width || by_width->exponents.kind != kMup)
    training.fail("compares with muP", "parametrization: {kind: mup, base: {width: 32}}");
  s.family.part = *by_width;
  s.check.multiples = read_multiples(fields.require("check_multiples"));
  s.check.steps = fields.integer("check_steps", 4, 1, 1000);
  s.check.rate = s.family.training.schedule.peak;
  s.check.seed = seed;
  s.multiples = read_multiples(fields.require("multiples"));
  const Yaml& rates = fields.require("rates");
  s.rates = read_rates(rates);
  if (s.rates.size() < 3) rates.fail("three rates are needed to tell where the best lies");
  fields.done();
  const DataSource source(data);
  s.family.train = source.split(Split::train);
  s.family.val = source.split(Split::val);
  for (const char* kind : {kStandard, kNtk, kMup})
    for (int64_t m : {s.check.multiples.back(), s.multiples.back()}) s.family.at(kind, m, seed);
  return s;
}

/// What one parametrisation did.
struct Outcome {
  CoordinateCheck check;
  std::vector<WidthSweep> sweeps;
  /// At the narrowest network's best rate, for each width; and the widest at its own.
  std::vector<Tally> transferred;
  Tally own;

  double drift() const { return sweeps.back().log2_best - sweeps.front().log2_best; }
  /// A best rate at the end of the list may have moved further.
  bool at_edge() const { return sweeps.front().at_edge || sweeps.back().at_edge; }
  /// How far the exponents of features' changes are from 0.
  double steepness() const { return std::max(check.steepest(), -check.shallowest()); }
  /// How much the widest loses by the rate found on the narrowest.
  double lost() const { return paired(transferred.back(), own).mean(); }
};

class Runner {
 public:
  Runner(const Study& s, uint64_t seed, int64_t seeds, int64_t tuning_seeds, Progress& progress)
      : s_(s), progress_(progress) {
    for (int64_t i = 0; i < seeds; ++i) counted_.push_back(seed + uint64_t(i));
    for (int64_t i = 0; i < tuning_seeds; ++i) tuning_.push_back(seed + kTuningSeeds + uint64_t(i));
  }

  /// Units of progress of the trainings of one parametrisation.
  static int64_t work(const Study& s, int64_t seeds, int64_t tuning_seeds) {
    int64_t sum = seeds * s.multiples.back();
    for (int64_t m : s.multiples) sum += m * (seeds + tuning_seeds * int64_t(s.rates.size()));
    return sum;
  }

  void train(Outcome& o, const std::string& kind) {
    for (int64_t m : s_.multiples) {
      o.sweeps.push_back(sweep_rates(s_.family, kind, m, s_.rates, tuning_,
                                     [&](double, double) { progress_.advance(m); }));
      const WidthSweep& w = o.sweeps.back();
      char line[160];
      std::snprintf(line, sizeof line, "%s, %s, width %lld: best rate %.3g, loss %.4f",
                    s_.name.c_str(), kind.c_str(), static_cast<long long>(w.width),
                    std::exp2(w.log2_best), w.loss[w.best]);
      log_info(line);
    }
    const double found = s_.rates[o.sweeps.front().best];
    for (int64_t m : s_.multiples) o.transferred.push_back(runs(kind, m, found));
    o.own = found == s_.rates[o.sweeps.back().best]
                ? o.transferred.back()
                : runs(kind, s_.multiples.back(), s_.rates[o.sweeps.back().best]);
  }

 private:
  Tally runs(const std::string& kind, int64_t multiple, double rate) {
    Tally t;
    for (uint64_t seed : counted_) {
      t.add(loss_at(s_.family, kind, multiple, rate, seed));
      progress_.advance(multiple);
    }
    return t;
  }

  const Study& s_;
  Progress& progress_;
  std::vector<uint64_t> counted_, tuning_;
};

nlohmann::ordered_json number(double v) {
  return std::isfinite(v) ? nlohmann::ordered_json(v) : nlohmann::ordered_json("diverged");
}

void report(const Outcome& o, const std::string& prefix, nlohmann::ordered_json& into) {
  into[prefix + "slope_most"] = o.check.steepest();
  into[prefix + "slope_least"] = o.check.shallowest();
  if (o.sweeps.empty()) return;
  for (const WidthSweep& s : o.sweeps)
    into[prefix + "best_rate_at_" + std::to_string(s.width)] = std::exp2(s.log2_best);
  into[prefix + "best_rate_drift_log2"] = o.drift();
  into[prefix + "best_rate_at_edge"] = o.at_edge();
  for (size_t i = 0; i < o.sweeps.size(); ++i)
    into[prefix + "transferred_loss_at_" + std::to_string(o.sweeps[i].width)] =
        number(o.transferred[i].mean());
  into[prefix + "transferred_loss_error"] = number(o.transferred.back().error());
  into[prefix + "widest_loss_at_its_best_rate"] = number(o.own.mean());
  into[prefix + "lost_by_transfer"] = number(o.lost());
}

}  // namespace

Findings measure_width_transfer(Fields& recipe, const MeasureOptions& options) {
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  const int64_t tuning_seeds = recipe.integer("tuning_seeds", 2, 1, 100);
  const double flat = recipe.number("flat", 0.3, 0, 1), drifts = recipe.number("drifts", 0.4, 0, 1);
  const double most_drift = recipe.number("most_drift", 1, 0, 10);
  const double most_lost = recipe.number("most_lost", 0.02, 0, 10);
  std::vector<Study> studies;
  for (const Yaml& part : recipe.require("networks").items()) {
    studies.push_back(read_study(part, options.seed));
    studies.back().check.seeds = seeds;
  }
  recipe.done();
  if (studies.empty()) recipe.map().fail("has no networks");
  int64_t work = 0;
  for (const Study& s : studies) work += 2 * Runner::work(s, seeds, tuning_seeds);
  Progress progress("widths", work);
  Findings f;
  f.holds = true;
  for (const Study& s : studies) {
    Outcome standard, ntk, mup;
    for (auto [o, kind] : {std::pair{&standard, kStandard}, {&ntk, kNtk}, {&mup, kMup}})
      o->check = check_coordinates(s.family, kind, s.check);
    Runner runner(s, options.seed, seeds, tuning_seeds, progress);
    runner.train(standard, kStandard);
    runner.train(mup, kMup);
    report(mup, s.name + "_", f.measured);
    report(standard, s.name + "_standard_", f.baseline);
    report(ntk, s.name + "_ntk_", f.baseline);
    const bool features =
        mup.steepness() <= flat && standard.steepness() >= drifts && ntk.steepness() >= drifts;
    const bool rates = !mup.at_edge() && std::abs(mup.drift()) <= most_drift &&
                       std::abs(standard.drift()) > std::abs(mup.drift());
    bool wider = true;
    for (size_t i = 0; i + 1 < mup.transferred.size(); ++i)
      wider = wider && mup.transferred[i + 1].mean() <= mup.transferred[i].mean();
    const bool transfers = mup.lost() <= most_lost && wider &&
                           mup.transferred.back().mean() <= standard.transferred.back().mean();
    f.measured[s.name + "_features_flat"] = features;
    f.measured[s.name + "_rate_stays"] = rates;
    f.measured[s.name + "_wider_is_better"] = wider;
    f.measured[s.name + "_tuning_transfers"] = transfers;
    f.measured[s.name + "_data"] = s.family.train->description();
    f.holds = f.holds && features && rates && transfers;
  }
  f.measured["seeds"] = seeds;
  return f;
}

}  // namespace espalier

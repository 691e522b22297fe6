// FRUGAL (Zmushko et al. 2024) against GaLore and BAdam with no more state, signSGD with none, and
// AdamW with all of it: test losses, seed by seed, beside the bytes of state that trainers report.
#include <algorithm>

#include "base/error.h"
#include "reproduce/optimizer_race.h"

namespace espalier {
namespace {

/// Whether `a` ends below `b` in the mean and in how many seeds.
struct Comparison {
  bool lower;
  int64_t seeds = 0;
  Comparison(const RacedContender& a, const RacedContender& b)
      : lower(a.mean_test_loss() < b.mean_test_loss()) {
    for (size_t i = 0; i < a.runs.size(); ++i)
      seeds +=
          !a.runs[i].diverged && (b.runs[i].diverged || a.runs[i].test_loss < b.runs[i].test_loss);
  }
};

}  // namespace

Findings measure_frugal(Fields& recipe, const MeasureOptions& options) {
  OptimizerRace race(recipe, options);
  const double most = recipe.number("most_state", 0.25, 0, 1);
  recipe.done();
  const std::vector<std::string> names = {"adamw", "frugal",  "galore",
                                          "badam", "frugal0", "signsgd"};
  race.require(names);
  const Race r = race.run();
  const RacedContender &adamw = r.find("adamw"), &frugal = r.find("frugal");
  const RacedContender& frugal0 = r.find("frugal0");
  // What is not split has Adam's state everywhere; the budget is one of what is.
  const auto whole = double(adamw.state_bytes() - frugal0.state_bytes());
  const auto part = [&](const std::string& name) {
    return double(r.find(name).state_bytes() - frugal0.state_bytes()) / std::max(whole, 1.0);
  };
  const Comparison galore(frugal, r.find("galore")), badam(frugal, r.find("badam"));
  const Comparison sign(frugal0, r.find("signsgd"));
  const auto seeds = int64_t(frugal.runs.size());
  Findings f;
  f.measured = {{"state_part", part("frugal")},
                {"seeds", seeds},
                {"seeds_below_galore", galore.seeds},
                {"seeds_below_badam", badam.seeds},
                {"seeds_below_signsgd_without_state", sign.seeds},
                {"test_loss_over_adamw", frugal.mean_test_loss() / adamw.mean_test_loss()},
                {"data", r.data[1]}};
  f.baseline = {{"galore_state_part", part("galore")}, {"badam_state_part", part("badam")}};
  for (const std::string& name : names)
    report(r.find(name), name.starts_with("frugal") ? f.measured : f.baseline);
  f.holds = part("frugal") <= most && galore.lower && badam.lower && sign.lower &&
            galore.seeds == seeds && badam.seeds == seeds && sign.seeds == seeds;
  race.forget();
  return f;
}

}  // namespace espalier

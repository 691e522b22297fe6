// The learned cost model for graphs (Das and Mannarswamy 2023) on this machine: regions of networks
// drawn at random are timed, a fifth of them held out; the learned model, the roofline and the
// count of MACs predict those. Then the model decides for networks it has not seen whether to fuse,
// and both ways are timed.
#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "runtime/calibrate.h"
#include "runtime/machine.h"
#include "runtime/random_input.h"
#include "runtime/region_sampler.h"
#include "runtime/session.h"
#include "runtime/timing.h"

namespace espalier {
namespace {

constexpr uint64_t kFirstDecision = 10'000'000;  // behind every sample

/// One way to run a network, and its time.
class Contender {
 public:
  Contender(const Graph& network, const CompileOptions& options)
      : session_(compile(network, options)) {
    const Rng rng(0, stream_of("decision inputs"));
    for (const TensorType& t : session_.program().input_types())
      inputs_.push_back(random_input(t, rng.fork(inputs_.size())));
    for (const TensorType& t : session_.program().output_types())
      outputs_.emplace_back(t.dtype, t.shape());
  }
  bool by_reference() const { return session_.program().reference_count() > 0; }
  void run() { session_.run_into(inputs_, outputs_); }

 private:
  Session session_;
  std::vector<Tensor> inputs_, outputs_;
};

struct Decisions {
  int64_t made = 0, right = 0;
  double log_gain = 0;  ///< of the way not chosen over the way chosen, summed
};

/// Decides for one network, and looks whether that was right; networks with nothing to fuse are
/// passed over.
void decide(const CostModel& model, const Graph& network, Decisions& d) {
  CompileOptions fused, apart;
  fused.threads = apart.threads = model.machine().threads;
  apart.disabled_passes = fusing_passes();
  const Graph f = prepared(network, fused), a = prepared(network, apart);
  if (f.order().size() == a.order().size()) return;
  Contender with(network, fused), without(network, apart);
  if (with.by_reference() || without.by_reference()) return;
  const bool fuse = model.predict_ms(f) <= model.predict_ms(a);
  const std::function<void()> contenders[] = {[&] { with.run(); }, [&] { without.run(); }};
  const auto t = time_alternating(contenders, {.rounds = 5, .seconds_per_turn = 0.01});
  const double gain = fuse ? t[1].median_ms / t[0].median_ms : t[0].median_ms / t[1].median_ms;
  ++d.made;
  d.right += gain >= 1 ? 1 : 0;
  d.log_gain += std::log(gain);
}

Decisions decisions_of(const CostModel& model, int64_t count, uint64_t seed) {
  Decisions d;
  Progress progress("deciding", count, "networks");
  // Not every network has something to fuse.
  for (uint64_t i = 0; d.made < count && i < 10 * uint64_t(count); ++i) {
    const int64_t before = d.made;
    decide(model, sampled_network(seed, kFirstDecision + i), d);
    progress.advance(d.made - before);
  }
  return d;
}

/// Whether an interrupted run left something; what cannot be used is measured anew.
bool can_go_on(const std::filesystem::path& file, int threads) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return false;
  try {
    load_tables(file, machine_id(threads));
    return true;
  } catch (const UserError& e) {
    log_warning(std::string(e.what()) + "; it is measured anew");
    return false;
  }
}

}  // namespace

Findings measure_cost_model(Fields& recipe, const MeasureOptions& options) {
  CalibrateOptions c;
  c.samples = recipe.integer("samples", 1500, 100, 1'000'000);
  c.seconds_per_network = recipe.number("seconds_per_network", 0.03, 0.001, 10);
  const int64_t count = recipe.integer("decisions", 40, 1, 10'000);
  recipe.done();
  c.threads = num_threads();
  c.seed = options.seed;
  c.seconds = 0;
  const std::filesystem::path folder = cache_folder("reproduce");
  if (folder.empty())
    throw bad_input("reproduce", "there is no cache folder to keep measurements in",
                    "set ESPALIER_CACHE or HOME");
  c.file = folder / ("cost-model-" + std::to_string(c.samples) + "-" + std::to_string(c.seed) +
                     "-" + machine_id(c.threads).file_stem() + ".json");
  c.overwrite = !can_go_on(c.file, c.threads);
  const Calibration calibration = calibrate(c);
  const auto e = evaluate_cost_model(calibration.tables);
  if (!e) recipe.map().fail("too few regions could be timed here", "raise samples");
  const CostModel model = CostModel::fit(calibration.tables, calibration.tables.rows);
  const Decisions d = decisions_of(model, count, options.seed);
  const double gain = d.made > 0 ? std::exp(d.log_gain / double(d.made)) : 1;
  Findings f;
  f.measured = {{"mape", e->learned.mape},
                {"kendall", e->learned.kendall},
                {"regions_learned_from", e->training},
                {"regions_held_out", e->held_out},
                {"fusion_decisions", d.made},
                {"fusion_decisions_right", d.right},
                {"speed_of_chosen_over_other", gain}};
  f.baseline = {{"mape", std::min(e->roofline.mape, e->macs.mape)},
                {"kendall", std::max(e->roofline.kendall, e->macs.kendall)},
                {"mape_roofline", e->roofline.mape},
                {"mape_macs", e->macs.mape},
                {"kendall_roofline", e->roofline.kendall},
                {"kendall_macs", e->macs.kendall}};
  f.holds = e->learned.mape < std::min(e->roofline.mape, e->macs.mape) &&
            e->learned.kendall > std::max(e->roofline.kendall, e->macs.kendall) && d.made > 0 &&
            gain > 1;
  // Kept only to go on after an interruption: a finished run measures anew the next time.
  std::error_code ignored;
  std::filesystem::remove(c.file, ignored);
  return f;
}

}  // namespace espalier

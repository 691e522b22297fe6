#include "recipe/fit.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/threads.h"
#include "compress/axis_classes.h"
#include "compress/budget.h"
#include "compress/hesso.h"
#include "compress/restrict.h"
#include "data/source.h"
#include "ir/interpret.h"
#include "onnx/export.h"
#include "passes/passes.h"
#include "recipe/fit_candidates.h"
#include "recipe/journal.h"
#include "runtime/machine.h"
#include "runtime/plan.h"
#include "train/stop.h"

namespace espalier {
namespace {

using Json = nlohmann::json;

/// Work was asked to stop; what is done is on disk.
struct Stopped {};

class Fit {
 public:
  Fit(const FitPlan& plan, const FitFiles& files)
      : plan_(plan),
        files_(files),
        journal_(files.folder, plan.fingerprint()),
        source_(plan.data) {}

  FitSummary run() {
    const auto start = std::chrono::steady_clock::now();
    summary_.model = plan_.model;
    summary_.data = plan_.data.text();
    summary_.machine = describe_machine();
    summary_.command = plan_.command;
    summary_.version = plan_.version;
    summary_.threads = plan_.threads;
    summary_.batch = plan_.batch;
    summary_.seed = plan_.seed;
    summary_.budget = plan_.budget;
    if (journal_.has("graph trained"))
      summary_.notes.push_back("resumed: the time taken counts the last run only");
    val_ = source_.split(Split::val);
    test_ = source_.split(Split::test);
    summary_.validation_samples = val_->size();
    summary_.test_samples = test_->size();
    if (plan_.prune.epochs > 0) cutter(plan_.network);  // a budget it cannot meet is told now

    const Graph baseline = trained();
    std::vector<FitNetwork> networks = candidates(baseline, cut_of(baseline));
    measure(networks);
    choose(networks);
    hand_over(networks);
    summary_.seconds = seconds_since(start);
    write_file_atomic(files_.folder / "summary.json", to_json(summary_));
    write_file_atomic(files_.folder / "report.html", to_html(summary_));
    return summary_;
  }

 private:
  static double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// A graph made once and kept as FOLDER/stages/NAME.plan.
  Graph once(const std::string& name, const std::function<Graph()>& make) {
    const auto path = files_.folder / "stages" / (name + ".plan");
    if (!journal_.has("graph " + name)) {
      std::filesystem::create_directories(path.parent_path());
      save_plan(make(), path);
      journal_.once("graph " + name, [] { return std::string("made"); });
    }
    return load_plan(path);
  }

  double accuracy(const Graph& graph, const Dataset& data) const {
    return 100 * evaluate(graph, data, plan_.train.loss, plan_.train.eval_batch).accuracy;
  }

  Graph train_phase(const std::string& phase, const Graph& from, const TrainOptions& options,
                    std::vector<TrainHook*> hooks) {
    const auto folder = files_.folder / phase;
    std::filesystem::create_directories(folder);
    Trainer trainer(from, source_.split(Split::train), val_, options,
                    {folder / "checkpoints", folder / "log.jsonl"}, std::move(hooks));
    trainer.resume(files_.any_threads);
    const TrainResult result = trainer.train();
    if (!result.finished) throw Stopped{};
    Json points = Json::array();
    for (const EpochReport& e : result.history)
      points.push_back({{"epoch", e.epoch}, {"loss", e.train_loss}, {"val", 100 * e.val_accuracy}});
    journal_.once("curve " + phase, [&] { return points.dump(); });
    return trainer.network();
  }

  void read_curve(const std::string& phase) {
    for (const auto& p :
         Json::parse(journal_.once("curve " + phase, [] { return std::string("[]"); })))
      summary_.curves.push_back(
          {phase, p["epoch"].get<double>(), p["loss"].get<double>(), p["val"].get<double>(), 0});
  }

  /// The network before any cut.
  Graph trained() {
    Graph g = once("trained", [&] {
      if (plan_.train.epochs == 0) return plan_.network.compacted();
      log_info("training " + plan_.model + " for " + std::to_string(plan_.train.epochs) +
               " epochs");
      return train_phase("train", plan_.network, plan_.train, {});
    });
    if (plan_.train.epochs > 0) read_curve("train");
    return g;
  }

  double share() const { return plan_.budget.macs_fraction.value_or(plan_.keep_macs); }
  Hesso cutter(const Graph& network) const {
    return Hesso(axis_classes(network),
                 {.budget = {.macs = share(), .width_multiple = plan_.width_multiple}});
  }

  /// The network cut to its share of multiply-accumulates; nothing where no cut was asked for.
  std::optional<Graph> cut_of(const Graph& baseline) {
    if (plan_.prune.epochs == 0) return std::nullopt;
    Graph g = once("cut", [&] {
      log_info("cutting to " + std::to_string(int(100 * share() + 0.5)) +
               " % of the multiply-accumulates, " + std::to_string(plan_.prune.epochs) + " epochs");
      Hesso hesso = cutter(baseline);
      const Graph zeroed = train_phase("prune", baseline, plan_.prune, {&hesso});
      return hesso.cut(zeroed);
    });
    read_curve("prune");
    return g;
  }

  std::vector<FitNetwork> candidates(const Graph& baseline, const std::optional<Graph>& cut) {
    std::vector<FitNetwork> networks;
    const auto train = source_.split(Split::train);
    const auto judge = [&](const Graph& g) { return accuracy(g, *val_); };
    const double wanted = judge(baseline) - plan_.budget.drop.value_or(1.0);
    for (const bool is_cut : {false, true}) {
      if (is_cut && !cut) continue;
      const Graph& from = is_cut ? *cut : baseline;
      for (const auto& precision : plan_.precisions) {
        if (stop_requested()) throw Stopped{};
        const std::string what = (is_cut ? "cut, " : "") + precision;
        if (precision != "int8") {
          const std::string file = (is_cut ? "cut_" : "whole_") + precision;
          FitNetwork n{
              what, is_cut, precision, once(file, [&] { return lowered(from, precision); }), {}};
          if (!is_cut && precision == "f32") n.name = "baseline, f32";
          networks.push_back(std::move(n));
          continue;
        }
        for (const char* method : {"minmax", "percentile"}) {
          const std::string file = (is_cut ? "cut_int8_" : "whole_int8_") + std::string(method);
          FitNetwork n{what + " (" + method + ")", is_cut, "int8", {}, {}};
          n.graph = once(file, [&] {
            FitNetwork q =
                quantised(from, *train, {method, plan_.calibration_samples, wanted}, judge);
            journal_.once("notes " + file, [&] { return Json(q.notes).dump(); });
            return q.graph;
          });
          for (const auto& note :
               Json::parse(journal_.once("notes " + file, [] { return std::string("[]"); })))
            n.notes.push_back(n.name + ": " + note.get<std::string>());
          networks.push_back(std::move(n));
        }
      }
    }
    return networks;
  }

  /// Accuracy, cost and time of every candidate; times are kept in the journal, so that a resumed
  /// fit chooses alike.
  void measure(const std::vector<FitNetwork>& networks) {
    const Json times = Json::parse(journal_.once("times", [&] {
      log_info("timing " + std::to_string(networks.size()) + " candidates, alternating");
      std::vector<const Graph*> graphs;
      for (const auto& n : networks) graphs.push_back(&n.graph);
      const auto timings = time_networks(graphs, plan_.batch, plan_.threads, plan_.rounds);
      Json list = Json::array();
      for (const Timing& t : timings)
        list.push_back({{"median", t.median_ms},
                        {"p10", t.p10_ms},
                        {"p90", t.p90_ms},
                        {"speedup", speedup(timings[0], t)},
                        {"slower", slower(timings[0], t)}});
      return list.dump();
    }));
    for (size_t i = 0; i < networks.size(); ++i) {
      const FitNetwork& n = networks[i];
      if (stop_requested()) throw Stopped{};
      FitCandidate c{n.name, n.cut, n.precision};
      const NetworkCost cost = network_cost(n.graph, plan_.batch);
      c.measured.macs = cost.macs;
      c.measured.params = cost.params;
      c.measured.weight_bytes = cost.weight_bytes;
      c.memory_bytes = cost.memory_bytes;
      c.measured.accuracy = std::stod(journal_.once(
          "accuracy " + n.name, [&] { return Json(accuracy(n.graph, *val_)).dump(); }));
      c.measured.latency_ms = times[i]["median"];
      c.measured.p10_ms = times[i]["p10"];
      c.measured.p90_ms = times[i]["p90"];
      c.speedup = times[i]["speedup"];
      c.slower = times[i]["slower"];
      for (const auto& note : n.notes) summary_.notes.push_back(note);
      summary_.candidates.push_back(std::move(c));
    }
  }

  void choose(const std::vector<FitNetwork>& networks) {
    auto& all = summary_.candidates;
    const Measured& base = all[0].measured;
    for (FitCandidate& c : all) {
      const auto missed =
          missed_term(plan_.budget, c.measured, c.memory_bytes, base.macs, base.accuracy);
      c.meets = !missed && !c.slower;
      c.why_not = missed ? *missed : c.slower ? "slower than the baseline" : "";
      c.pareto = std::ranges::none_of(all, [&](const FitCandidate& o) {
        return o.measured.latency_ms < c.measured.latency_ms &&
               o.measured.accuracy > c.measured.accuracy;
      });
    }
    // The fastest that meets the budget; if none does, the fastest of those that lose no more
    // accuracy than allowed. The baseline is never slower than itself.
    const double drop = plan_.budget.drop.value_or(1.0);
    const auto better = [&](bool need_budget) {
      size_t best = all.size();
      for (size_t i = 0; i < all.size(); ++i) {
        if (need_budget ? !all[i].meets
                        : (all[i].slower || base.accuracy - all[i].measured.accuracy > drop))
          continue;
        if (best == all.size() || all[i].measured.latency_ms < all[best].measured.latency_ms)
          best = i;
      }
      return best;
    };
    chosen_ = better(true);
    summary_.met = chosen_ < all.size();
    if (!summary_.met) chosen_ = better(false);
    summary_.chosen = networks[chosen_].name;
  }

  /// The test split, once; artefacts.
  void hand_over(const std::vector<FitNetwork>& networks) {
    const FitNetwork &base = networks[0], &best = networks[chosen_];
    const Json tested = Json::parse(journal_.once("test", [&] {
      return Json{{"baseline", accuracy(base.graph, *test_)},
                  {"result", accuracy(best.graph, *test_)}}
          .dump();
    }));
    summary_.baseline = summary_.candidates[0].measured;
    summary_.baseline.accuracy = tested["baseline"];
    summary_.result = summary_.candidates[chosen_].measured;
    summary_.result.accuracy = tested["result"];
    summary_.speedup = summary_.candidates[chosen_].speedup;
    summary_.layers = compare_layers(base.graph, best.graph, plan_.batch, plan_.threads);
    // ONNX's convolutions know no bf16: such a network is handed over in f32, and runs in bf16
    // here.
    const bool bf16 = best.precision == "bf16";
    if (bf16) summary_.notes.push_back("model.onnx holds the f32 weights; model.plan runs in bf16");
    const auto f32_twin = std::ranges::find_if(
        networks, [&](const FitNetwork& n) { return n.precision == "f32" && n.cut == best.cut; });
    export_onnx(bf16 && f32_twin != networks.end() ? f32_twin->graph : best.graph,
                files_.folder / "model.onnx");
    save_plan(best.graph, files_.folder / "model.plan");
  }

  const FitPlan& plan_;
  const FitFiles& files_;
  Journal journal_;
  DataSource source_;
  std::shared_ptr<const Dataset> val_, test_;
  FitSummary summary_;
  size_t chosen_ = 0;
};

}  // namespace

std::string FitPlan::fingerprint() const {
  std::string s = model + "|" + data.text() + "|" + to_string(budget) + "|" + train.fingerprint() +
                  "|" + prune.fingerprint() + "|" + std::to_string(keep_macs) + "|" +
                  std::to_string(width_multiple) + "|" + std::to_string(threads) + "|" +
                  std::to_string(batch) + "|" + std::to_string(seed) + "|" +
                  std::to_string(calibration_samples);
  for (const auto& p : precisions) s += "|" + p;
  return s;
}

std::optional<FitSummary> fit(const FitPlan& plan, const FitFiles& files) {
  if (plan.precisions.empty() || plan.precisions[0] != "f32")
    throw usage_error("precisions", "must begin with f32, the baseline");
  try {
    return Fit(plan, files).run();
  } catch (const Stopped&) {
    return std::nullopt;
  }
}

}  // namespace espalier

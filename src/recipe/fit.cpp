#include "recipe/fit.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/threads.h"
#include "compress/axis_classes.h"
#include "compress/budget.h"
#include "compress/half_precision.h"
#include "compress/hesso.h"
#include "compress/restrict.h"
#include "ir/integer_coding.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "onnx/export.h"
#include "passes/passes.h"
#include "recipe/fit_candidates.h"
#include "recipe/fit_recipe.h"
#include "recipe/fit_share.h"
#include "recipe/journal.h"
#include "runtime/machine.h"
#include "runtime/plan.h"
#include "train/stop.h"

namespace espalier {
namespace {

using Json = nlohmann::json;

constexpr const char* kShares = "shares";

/// Work was asked to stop; what is done is on disk.
struct Stopped {};

class Fit {
 public:
  Fit(const FitPlan& plan, const FitFiles& files) : plan_(plan), files_(files) {
    ESP_CHECK(plan.source != nullptr, "a plan without its data");
  }

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
    check();
    begin_journal();
    if (journal_->has("graph trained"))
      summary_.notes.push_back("resumed: the time taken counts the last run only");

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
  /// Whatever can be known to fail later fails now.
  void check() {
    if (plan_.source->raw().classes == 0 || plan_.train.loss != Loss::kCrossEntropy)
      throw unsupported("fit", "judges networks by their accuracy, which needs class labels",
                        "give data with labels, and the loss cross_entropy");
    val_ = plan_.source->split(Split::val);
    test_ = plan_.source->split(Split::test);
    summary_.validation_samples = val_->size();
    summary_.test_samples = test_->size();
    input_ = val_->sample_shape();
    input_.insert(input_.begin(), plan_.batch);
    const auto inputs = plan_.network.inputs();
    if (inputs.size() != 1)
      throw unsupported(plan_.model, "has " + std::to_string(inputs.size()) + " inputs",
                        "a network with one input can be fitted");
    const Value& input = plan_.network.value(inputs[0]);
    if (!refines(TensorType(DType::f32, input_), input.type))
      throw bad_input("input '" + input.name + "' of " + plan_.model,
                      "is " + to_string(input.type) + ", the data gives " +
                          to_string(TensorType(DType::f32, input_)),
                      "see `resize` and `layout` of the data, and `batch` under measure");
  }

  /// A fit that goes on keeps the cut it began with. An earlier run goes only once this one is
  /// known to be possible.
  void begin_journal() {
    if (!files_.overwrite) journal_.emplace(files_.folder, plan_.fingerprint());
    if (plan_.prune.epochs > 0) {
      cut_ = {.width_multiple = plan_.width_multiple};
      if (journal_ && journal_->has(kShares)) {
        const Json shares = Json::parse(journal_->once(kShares, {}));
        cut_.macs = shares.at(0), cut_.params = shares.at(1);
      } else {
        cut_ = cut_for_budget(plan_, input_, *plan_.source->split(Split::train));
      }
      cutter(plan_.network);  // UserError when it is out of reach
    }
    if (files_.overwrite) {
      clear_fit_folder(files_.folder);
      journal_.emplace(files_.folder, plan_.fingerprint());
    }
    journal_->once(kShares, [&] { return Json({cut_.macs, cut_.params}).dump(); });
  }

  static double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// A graph made once and kept as FOLDER/stages/NAME.plan.
  Graph once(const std::string& name, const std::function<Graph()>& make) {
    const auto path = files_.folder / "stages" / (name + ".plan");
    if (!journal_->has("graph " + name)) {
      make_folder(path.parent_path());
      save_plan(make(), path);
      journal_->once("graph " + name, [] { return std::string("made"); });
    }
    return load_plan(path);
  }

  double accuracy(const Graph& graph, const Dataset& data) const {
    return 100 * evaluate(graph, data, plan_.train.loss, plan_.train.eval_batch).accuracy;
  }

  Graph train_phase(const std::string& phase, const Graph& from, const TrainOptions& options,
                    std::vector<TrainHook*> hooks) {
    const auto folder = files_.folder / phase;
    make_folder(folder);
    Trainer trainer(from, plan_.source->split(Split::train), val_, options,
                    {folder / "checkpoints", folder / "log.jsonl"}, std::move(hooks));
    trainer.resume(files_.any_threads);
    const TrainResult result = trainer.train();
    if (!result.finished) throw Stopped{};
    Json points = Json::array();
    for (const EpochReport& e : result.history)
      points.push_back({{"epoch", e.epoch}, {"loss", e.train_loss}, {"val", 100 * e.val_accuracy}});
    journal_->once("curve " + phase, [&] { return points.dump(); });
    return trainer.network();
  }

  void read_curve(const std::string& phase) {
    for (const auto& p :
         Json::parse(journal_->once("curve " + phase, [] { return std::string("[]"); })))
      summary_.curves.push_back(
          {phase, p["epoch"].get<double>(), p["loss"].get<double>(), p["val"].get<double>()});
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

  Hesso cutter(const Graph& network) const {
    return Hesso(axis_classes(network), {.budget = cut_});
  }

  std::string shares_text() const {
    const auto percent = [](double share, const char* of) {
      return std::to_string(std::lround(100 * share)) + " % of the " + of;
    };
    if (cut_.params == 1) return percent(cut_.macs, "multiply-accumulates");
    const std::string params = percent(cut_.params, "parameters");
    return cut_.macs == 1 ? params : percent(cut_.macs, "multiply-accumulates, ") + params;
  }

  /// The network cut to its shares; nothing where no cut was asked for.
  std::optional<Graph> cut_of(const Graph& baseline) {
    if (plan_.prune.epochs == 0) return std::nullopt;
    Graph g = once("cut", [&] {
      log_info("cutting to " + shares_text() + ", " + std::to_string(plan_.prune.epochs) +
               " epochs");
      Hesso hesso = cutter(baseline);
      const Graph zeroed = train_phase("prune", baseline, plan_.prune, {&hesso});
      return hesso.cut(zeroed);
    });
    read_curve("prune");
    return g;
  }

  std::vector<FitNetwork> candidates(const Graph& baseline, const std::optional<Graph>& cut) {
    std::vector<FitNetwork> networks;
    const auto train = plan_.source->split(Split::train);
    const auto judge = [&](const Graph& g) { return accuracy(g, *val_); };
    const double start = judge(baseline), wanted = start - allowed_drop();
    const NodeId coding = integer_coding(baseline);
    if (coding != kNoNode)
      summary_.notes.push_back("the network is quantised already (" + describe(baseline, coding) +
                               "): no other precision was tried");
    for (const bool is_cut : {false, true}) {
      if (is_cut && !cut) continue;
      const Graph& from = is_cut ? *cut : baseline;
      // Where the float form loses too much already, layers kept in float win nothing.
      const double least = (is_cut ? judge(from) : start) >= wanted ? wanted : 0;
      for (const auto& precision : plan_.precisions) {
        if (stop_requested()) throw Stopped{};
        if (coding != kNoNode && precision != "f32") continue;
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
                quantised(from, *train, {method, plan_.calibration_samples, least}, judge);
            journal_->once("notes " + file, [&] { return Json(q.notes).dump(); });
            return q.graph;
          });
          for (const auto& note :
               Json::parse(journal_->once("notes " + file, [] { return std::string("[]"); })))
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
    const Json times = Json::parse(journal_->once("times", [&] {
      log_info("timing " + std::to_string(networks.size()) + " candidates, alternating");
      std::vector<const Graph*> graphs;
      for (const auto& n : networks) graphs.push_back(&n.graph);
      const auto timings = time_networks(graphs, input_, plan_.threads, plan_.rounds);
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
      const NetworkCost cost = network_cost(n.graph, input_, plan_.threads);
      c.measured.macs = cost.macs;
      c.measured.params = cost.params;
      c.measured.weight_bytes = cost.weight_bytes;
      c.memory_bytes = cost.memory_bytes;
      c.measured.accuracy = std::stod(journal_->once(
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
      const auto miss = missed(plan_.budget, c.measured, c.memory_bytes, base.macs, base.accuracy);
      c.meets = !miss && !c.slower;
      c.why_not = miss ? miss->what : c.slower ? "slower than the baseline" : "";
      c.excess = miss ? miss->excess : 0;
      c.pareto = std::ranges::none_of(all, [&](const FitCandidate& o) { return dominates(o, c); });
    }
    // The fastest that meets the budget; if none does, the one that exceeds it least of those that
    // lose no more accuracy than allowed. The baseline is never slower than itself.
    const auto eligible = [&](const FitCandidate& c) {
      return !c.slower && base.accuracy - c.measured.accuracy <= allowed_drop();
    };
    const auto better = [](const FitCandidate& a, const FitCandidate& b) {
      return std::tuple(!a.meets, a.excess, a.measured.latency_ms) <
             std::tuple(!b.meets, b.excess, b.measured.latency_ms);
    };
    for (size_t i = 1; i < all.size(); ++i)
      if (eligible(all[i]) && better(all[i], all[chosen_])) chosen_ = i;
    summary_.met = all[chosen_].meets;
    summary_.chosen = networks[chosen_].name;
  }

  static bool dominates(const FitCandidate& a, const FitCandidate& b) {
    const auto facts = [](const FitCandidate& c) {
      return std::pair(c.measured.latency_ms, -c.measured.accuracy);
    };
    const auto [a_ms, a_loss] = facts(a);
    const auto [b_ms, b_loss] = facts(b);
    return a_ms <= b_ms && a_loss <= b_loss && (a_ms < b_ms || a_loss < b_loss);
  }

  double allowed_drop() const { return plan_.budget.drop.value_or(1.0); }

  /// The test split, once; artefacts.
  void hand_over(const std::vector<FitNetwork>& networks) {
    const FitNetwork &base = networks[0], &best = networks[chosen_];
    const Json tested = Json::parse(journal_->once("test", [&] {
      return Json{{"baseline", accuracy(base.graph, *test_)},
                  {"result", accuracy(best.graph, *test_)}}
          .dump();
    }));
    summary_.baseline = summary_.candidates[0].measured;
    summary_.baseline.accuracy = tested["baseline"];
    summary_.result = summary_.candidates[chosen_].measured;
    summary_.result.accuracy = tested["result"];
    summary_.speedup = summary_.candidates[chosen_].speedup;
    summary_.layers = compare_layers(base.graph, best.graph, input_, plan_.threads);
    // Few runtimes have bf16 kernels for ONNX's operators: weights are handed over in bf16, to be
    // computed with in f32.
    const auto f32_twin = std::ranges::find_if(
        networks, [&](const FitNetwork& n) { return n.precision == "f32" && n.cut == best.cut; });
    const bool bf16 = best.precision == "bf16" && f32_twin != networks.end();
    if (bf16)
      summary_.notes.push_back(
          "model.onnx holds the weights in bf16 and computes in f32; model.plan computes in bf16");
    export_onnx(bf16 ? with_bf16_weights(f32_twin->graph) : best.graph,
                files_.folder / "model.onnx");
    CompileOptions prepare;
    prepare.threads = plan_.threads;
    save_plan(best.graph, files_.folder / "model.plan", std::span(&prepare, 1));
  }

  const FitPlan& plan_;
  const FitFiles& files_;
  std::optional<Journal> journal_;
  Shape input_;  ///< of one timed run
  std::shared_ptr<const Dataset> val_, test_;
  FitSummary summary_;
  CutBudget cut_;
  size_t chosen_ = 0;
};

}  // namespace

namespace {

/// Of structure and weights.
uint64_t content(const Graph& g) {
  uint64_t hash = stream_of(print(g, {.max_literal = 0, .elide_large = true}));
  for (ValueId v : g.constants()) {
    const Tensor& t = *g.value(v).constant;
    if (t.dtype() == DType::string) continue;
    hash = hash * 0x9E3779B97F4A7C15u +
           stream_of({static_cast<const char*>(t.raw()), size_t(t.bytes())});
  }
  return hash;
}

}  // namespace

std::string FitPlan::fingerprint() const {
  std::string s = model + "|" + data.text() + "|" + to_string(budget) + "|" + train.fingerprint() +
                  "|" + prune.fingerprint() + "|" + std::to_string(keep_macs) + "|" +
                  std::to_string(width_multiple) + "|" + std::to_string(threads) + "|" +
                  std::to_string(batch) + "|" + std::to_string(seed) + "|" +
                  std::to_string(calibration_samples) + "|" + std::to_string(content(network));
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

// PockEngine (Zhu et al. 2023): fine-tuning with a backward pass that was cut when it was compiled,
// beside the whole backward pass run operator by operator and beside the whole one compiled.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/formatted.h"
#include "base/log.h"
#include "base/process.h"
#include "base/threads.h"
#include "ir/text.h"
#include "reproduce/reproduce.h"
#include "reproduce/transfer.h"
#include "reproduce/tuning_tally.h"
#include "runtime/eager.h"
#include "runtime/memory_plan.h"
#include "runtime/timing.h"
#include "train/step_session.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// What an eager framework holds at most: every result from the operator that makes it to the last
/// that reads it, beside parameters and moments.
int64_t eager_peak(const StepGraph& step) {
  const Graph& g = step.graph;
  std::map<ValueId, BufferLife> lives;
  const auto bytes = [&](ValueId v) {
    const TensorType& t = g.value(v).tensor();
    return size_t(t.numel()) * size_of(t.dtype);
  };
  int at = 0;
  for (NodeId id : g.order()) {
    for (ValueId v : g.node(id).inputs)
      if (const auto it = lives.find(v); it != lives.end()) it->second.last = at;
    for (ValueId v : g.node(id).outputs)
      if (v != kNoValue) lives[v] = {bytes(v), at, at};
    ++at;
  }
  // Updates are written in place.
  for (const StatePair& s : g.states()) lives.erase(s.output);
  std::vector<BufferLife> all;
  for (const auto& [v, life] : lives) all.push_back(life);
  int64_t states = 0;
  for (const auto& [name, first] : step.initial) states += int64_t(first.bytes());
  return int64_t(lower_bound(all)) + states;
}

/// A step run operator by operator, its states as they were: what is timed does not depend on them.
class EagerStep {
 public:
  explicit EagerStep(const TuningStep& step)
      : program_((options_.threads = num_threads(), step.graph.graph), options_) {
    const StepGraph& s = step.graph;
    for (ValueId v : s.graph.inputs()) {
      const Value& value = s.graph.value(v);
      if (v == s.input)
        inputs_.emplace_back(step.batch.inputs);
      else if (v == s.targets)
        inputs_.emplace_back(step.batch.targets);
      else if (v == s.rate)
        inputs_.emplace_back(Tensor::scalar(0.0f));
      else if (v == s.step)
        inputs_.emplace_back(Tensor::scalar(int64_t{1}));
      else
        inputs_.emplace_back(s.initial.at(value.name));
    }
  }
  void run() { program_.run(inputs_); }

 private:
  CompileOptions options_;
  EagerProgram program_;
  std::vector<Datum> inputs_;
};

/// The task as it is trained with a scheme: within a limit of memory.
TuningTask within(TuningTask task, int64_t bytes) {
  task.training.memory = bytes;
  return task;
}

/// Of the schemes whose step can be planned within `bytes`, the one that ends with the least
/// validation loss at the best of its rates. UserError where none can.
struct Chosen {
  const TuningMethod* scheme = nullptr;
  double rate = 0;
};
Chosen chosen_scheme(const TuningTask& task, const std::vector<TuningMethod>& schemes,
                     const std::vector<double>& rates, int64_t bytes) {
  const TuningTask limited = within(task, bytes);
  Chosen best;
  double least = 0;
  for (const TuningMethod& scheme : schemes) {
    try {
      trained_step_of(limited, scheme);
    } catch (const UserError& e) {
      if (e.code() != ExitCode::kInfeasible) throw;
      log_info(task.name + ", " + scheme.name + ": " + e.what());
      continue;
    }
    const TuningOutcome out = tuned_at_best(limited, scheme, rates);
    const double loss = out.last().val_loss;
    log_info(task.name + ", " + scheme.name + ": validation loss " + formatted("%.4f", loss));
    if (best.scheme && loss >= least) continue;
    best = {&scheme, out.rate};
    least = loss;
  }
  if (!best.scheme)
    throw bad_input("pockengine",
                    "no scheme of " + task.name + " fits into " + std::to_string(bytes) + " bytes");
  return best;
}

struct Steps {
  double eager_ms = 0, full_ms = 0, sparse_ms = 0;
  int64_t eager_bytes = 0;
  StepMemory full, sparse;
};

Steps timed(const TuningTask& task, const TuningTask& limited, const TuningMethod& sparse,
            int64_t rounds) {
  const TuningMethod full = parse_tuning_method("full");
  const TuningStep plain = step_of(task, full);
  TuningStep whole = trained_step_of(task, full), cut = trained_step_of(limited, sparse);
  Steps s;
  s.eager_bytes = eager_peak(plain.graph);
  EagerStep eager(plain);
  const Batch batch = plain.batch;
  StepSession compiled(std::move(whole.graph)), cut_session(std::move(cut.graph));
  s.full = compiled.memory();
  s.sparse = cut_session.memory();
  const std::function<void()> turns[] = {[&] { eager.run(); }, [&] { compiled.run(batch, 0, 1); },
                                         [&] { cut_session.run(batch, 0, 1); }};
  const auto times = time_alternating(
      turns, {.rounds = int(rounds), .seconds_per_turn = 0.1, .least_runs = 2, .warmup_runs = 2});
  s.eager_ms = times[0].median_ms;
  s.full_ms = times[1].median_ms;
  s.sparse_ms = times[2].median_ms;
  return s;
}

/// The most memory that `espalier train` takes for a few steps of the task in another process.
int64_t measured_peak(const TuningTask& task, const Transfer& transfer, const Yaml* only,
                      const fs::path& folder) {
  const fs::path network = folder / (transfer.name + ".esp");
  write_file_atomic(network, print(task.network));
  const TrainOptions& o = transfer.training;
  Yaml recipe = Yaml::parse(
      "espalier: 1\ntask: train\nname: peak\nmodel: {file: " + network.string() + "}\ndata: '" +
          transfer.data.text() + "'\ntraining: {epochs: 1, epoch_steps: 8, eval_batch: 1, batch: " +
          std::to_string(o.batch) +
          (task.training.memory > 0 ? ", memory: " + std::to_string(task.training.memory) + "B"
                                    : "") +
          ", optimizer: {kind: " + o.optimizer.kind + "}}\n",
      "peak.yaml");
  if (only)
    for (auto& [key, value] : recipe.entries())
      if (key.text() == "training") value.set("only", *only);
  const fs::path file = folder / "peak.yaml", run = folder / "run";
  write_file_atomic(file, recipe.dump());
  const int code = run_again({"train", file.string(), "--out", run.string(), "--overwrite",
                              "--quiet", "--threads", std::to_string(num_threads())},
                             {});
  if (code != 0)
    throw bad_input(file.string(), "espalier train ended with exit code " + std::to_string(code));
  return nlohmann::json::parse(read_file(run / "summary.json"))["timing"]["process_peak_bytes"];
}

}  // namespace

Findings measure_sparse_backward(Fields& recipe, const MeasureOptions& options) {
  struct Task {
    Transfer transfer;
    std::vector<TuningMethod> schemes;
  };
  std::vector<Task> tasks;
  for (const Yaml& part : recipe.require("tasks").items()) {
    Fields fields(part, "tasks");
    Task t{read_transfer(fields), {}};
    for (const Yaml& scheme : fields.require("schemes").items()) {
      Fields one(scheme, "schemes");
      t.schemes.push_back({one.require_string("name"), {}});
      one.require("only");
      t.schemes.back().part = read_trained_part(one);
      one.done();
    }
    if (t.schemes.empty()) fields.map().fail("has no schemes");
    fields.done();
    tasks.push_back(std::move(t));
  }
  const int64_t seeds = recipe.integer("seeds", 3, 1, 100);
  const int64_t rounds = recipe.integer("rounds", 7, 1, 1000);
  const double faster = recipe.number("least_speedup", 1.5, 1, 1000);
  const double smaller = recipe.number("least_saving", 2, 1, 1000);
  const double points = recipe.number("most_points_lost", 1, 0, 100);
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  recipe.done();
  if (tasks.empty()) recipe.map().fail("has no tasks");
  const fs::path folder = cache_folder("reproduce") / "pockengine";
  make_folder(folder);
  Findings f;
  f.holds = true;
  for (const Task& t : tasks) {
    TuningTask task = started(t.transfer, options.seed).task;
    const TuningMethod full = parse_tuning_method("full");
    const std::string k = t.transfer.name + "_";
    Tally of_full, of_sparse;
    int64_t trained = 0, all = 0;
    // Rates and the scheme are chosen on a seed that is not counted.
    task.training.seed = options.seed + 1000;
    const auto limit = int64_t(double(eager_peak(step_of(task, full).graph)) / smaller);
    const Chosen chosen = chosen_scheme(task, t.schemes, rates, limit);
    const TuningMethod& sparse = *chosen.scheme;
    const double rate[] = {tuned_at_best(task, full, rates).rate, chosen.rate};
    const TuningMethod* methods[] = {&full, &sparse};
    for (int i = 0; i < 2; ++i) {
      for (int64_t s = 0; s < seeds; ++s) {
        task.training.seed = options.seed + uint64_t(s);
        const TuningOutcome out = tuned(i == 0 ? task : within(task, limit), *methods[i], rate[i]);
        (i == 0 ? of_full : of_sparse).add(out.tested.accuracy);
        trained = out.trained;
        all = out.parameters;
      }
    }
    const Steps s = timed(task, within(task, limit), sparse, rounds);
    const int64_t peak_full = measured_peak(task, t.transfer, nullptr, folder);
    const int64_t peak_sparse =
        measured_peak(within(task, limit), t.transfer, &sparse.part.place, folder);
    f.measured[k + "accuracy"] = 100 * of_sparse.mean();
    f.measured[k + "rate"] = rate[1];
    f.measured[k + "scheme"] = sparse.name;
    f.measured[k + "trained_percent"] = 100.0 * double(trained) / double(all);
    f.measured[k + "step_ms"] = s.sparse_ms;
    f.measured[k + "arena_bytes"] = s.sparse.arena;
    f.measured[k + "planned_bytes"] = s.sparse.total();
    f.measured[k + "process_peak_bytes"] = peak_sparse;
    f.measured[k + "speedup_over_eager"] = s.eager_ms / s.sparse_ms;
    f.measured[k + "speedup_over_compiled"] = s.full_ms / s.sparse_ms;
    f.measured[k + "saving_over_eager"] = double(s.eager_bytes) / double(s.sparse.total());
    f.measured[k + "saving_over_compiled"] = double(s.full.total()) / double(s.sparse.total());
    f.baseline[k + "accuracy"] = 100 * of_full.mean();
    f.baseline[k + "rate"] = rate[0];
    f.baseline[k + "step_ms"] = s.eager_ms;
    f.baseline[k + "compiled_step_ms"] = s.full_ms;
    f.baseline[k + "arena_bytes"] = s.full.arena;
    f.baseline[k + "planned_bytes"] = s.full.total();
    f.baseline[k + "eager_bytes"] = s.eager_bytes;
    f.baseline[k + "process_peak_bytes"] = peak_full;
    f.holds = f.holds && s.eager_ms >= faster * s.sparse_ms && s.full_ms > s.sparse_ms &&
              double(s.eager_bytes) >= smaller * double(s.sparse.total()) &&
              peak_sparse < peak_full && 100 * (of_full.mean() - of_sparse.mean()) <= points;
  }
  f.measured["seeds"] = seeds;
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return f;
}

}  // namespace espalier

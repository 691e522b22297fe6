#include "compress/incubation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "compress/v_cycle.h"
#include "ir/count.h"

namespace espalier {
namespace {

using Tensors = std::map<std::string, Tensor>;

int64_t elements(const Graph& g, const std::set<std::string>& names) {
  int64_t n = 0;
  for (const std::string& name : names) n += g.value(g.find(name)).constant->size();
  return n;
}

/// What a job's folder says of it, beside its log and its checkpoints.
void write_report(const JobReport& r, bool finished, const std::filesystem::path& path) {
  nlohmann::ordered_json j = {{"job", r.name},
                              {"finished", finished},
                              {"params", r.parameters},
                              {"trained", r.trained},
                              {"epochs", r.history.size()},
                              {"macs", r.macs()},
                              {"bytes", r.memory.total()}};
  if (!r.history.empty()) {
    double seconds = 0;
    for (const EpochReport& e : r.history) seconds += e.seconds + e.val_seconds;
    j["val_loss"] = r.history.back().val_loss;
    j["val_accuracy"] = r.history.back().val_accuracy;
    j["seconds"] = seconds;
  }
  write_file_atomic(path, j.dump(2) + "\n");
}

}  // namespace

struct IncubationTrainer::Impl {
  std::shared_ptr<const Dataset> train_data, val_data;
  TrainOptions options;
  Incubation incubation;
  std::vector<ModuleJob> jobs;
  IncubationFiles files;
  IncubatedNetwork result;
  Tensors meta;

  bool has_meta() const { return incubation.around == Around::kMeta; }

  TrainOptions options_of(size_t number) const {
    TrainOptions o = options;
    o.epochs = has_meta() && number == 0 ? incubation.meta_epochs : incubation.module_epochs;
    o.schedule.peak *= incubation.rate;
    o.schedule.warmup = std::min(o.schedule.warmup, double(o.epochs));
    o.seed = Rng(options.seed, stream_of("incubation")).bits(number) >> 1;
    o.trained = jobs[number].trained;
    o.name += ", " + jobs[number].name;
    return o;
  }

  void check_job(const std::string& name) const {
    if (std::ranges::find(jobs, name, &ModuleJob::name) == jobs.end())
      throw usage_error("'" + name + "'", "is no job of the incubation",
                        "they are " + jobs.front().name + " to " + jobs.back().name);
  }

  IncubatedNetwork run() {
    result = {};
    meta.clear();
    size_t last = jobs.size();
    if (!files.only.empty()) {
      check_job(files.only);
      last = 1 + size_t(std::ranges::find(jobs, files.only, &ModuleJob::name) - jobs.begin());
    }
    for (size_t i = 0; i < last; ++i) {
      // What the one job does not need may be trained elsewhere just now.
      const bool needed = files.only.empty() || i + 1 == last ||
                          incubation.around == Around::kBelow || (has_meta() && i == 0);
      if (needed && !train(i, files.only.empty() || i + 1 == last)) return std::move(result);
    }
    result.only_finished = !files.only.empty();
    if (result.only_finished) return std::move(result);
    result.finished = true;
    // What several modules read.
    for (const auto& [name, t] : meta) result.values.try_emplace(name, t);
    return std::move(result);
  }

  /// What a job's network begins with beside its own first values.
  Tensors given(size_t number) const {
    if (!has_meta()) return incubation.around == Around::kBelow ? result.values : Tensors{};
    Tensors around = meta;
    for (const std::string& own : jobs[number].kept) around.erase(own);
    return around;
  }

  /// False when stopped. UserError where the job is not finished and `may_train` is not set.
  bool train(size_t number, bool may_train) {
    const ModuleJob& job = jobs[number];
    TrainFiles kept;
    if (!files.folder.empty()) {
      make_folder(files.folder / job.name);
      kept = {files.folder / job.name / "checkpoints", files.folder / job.name / "log.jsonl"};
    }
    const Graph network = with_values(job.network, given(number));
    Trainer trainer(network, train_data, val_data, options_of(number), kept);
    if (files.resume && !files.folder.empty()) trainer.resume(files.any_threads);
    const int64_t all = trainer.steps_per_epoch() * trainer.options().epochs;
    if (!may_train && trainer.steps_done() < all)
      throw usage_error("'" + files.only + "'", "needs " + job.name + ", which is not trained yet",
                        "train it first: --job " + job.name);
    JobReport report{job.name, parameter_count(network), elements(network, job.trained)};
    report.step_macs = macs_of_step(trainer.step_graph());
    report.memory = trainer.memory();
    const TrainResult trained = trainer.train();
    report.history = trained.history;
    if (may_train && !files.folder.empty())
      write_report(report, trained.finished, files.folder / job.name / "job.json");
    result.jobs.push_back(std::move(report));
    if (trained.finished) take(job, trainer.network());
    return trained.finished;
  }

  void take(const ModuleJob& job, const Graph& trained) {
    Tensors& to = has_meta() && meta.empty() ? meta : result.values;
    for (const std::string& name : job.kept) to[name] = *trained.value(trained.find(name)).constant;
  }
};

IncubationTrainer::IncubationTrainer(const Graph& network, std::shared_ptr<const Dataset> train,
                                     std::shared_ptr<const Dataset> val, TrainOptions options,
                                     Incubation incubation)
    : impl_(std::make_unique<Impl>()) {
  incubation.check("the incubation");
  impl_->jobs = module_jobs(ModuleSplit(network, incubation.modules), incubation.around);
  impl_->train_data = std::move(train);
  impl_->val_data = std::move(val);
  impl_->options = std::move(options);
  impl_->incubation = incubation;
}

IncubationTrainer::~IncubationTrainer() = default;

const std::vector<ModuleJob>& IncubationTrainer::jobs() const { return impl_->jobs; }
void IncubationTrainer::check_job(const std::string& name) const { impl_->check_job(name); }

double IncubationTrainer::planned_macs(int64_t steps_of_epoch) const {
  double macs = 0;
  for (size_t i = 0; i < impl_->jobs.size(); ++i) {
    const TrainOptions o = impl_->options_of(i);
    macs += double(steps_of_epoch * o.epochs) *
            macs_of_step(
                build_training_step(impl_->jobs[i].network, step_options(o, *impl_->train_data)));
  }
  return macs;
}

IncubatedNetwork IncubationTrainer::train(const IncubationFiles& files) {
  impl_->files = files;
  return impl_->run();
}

std::string Incubation::text() const {
  std::ostringstream out;
  out.precision(17);
  out << "modules=" << modules << ",around=" << around_names()[size_t(around)];
  if (around == Around::kMeta) out << ",meta_epochs=" << meta_epochs;
  out << ",module_epochs=" << module_epochs << ",rate=" << rate;
  return out.str();
}

void Incubation::check(const std::string& where) const {
  const auto refuse = [&](const char* what) { throw bad_input(where, what); };
  if (modules < 2) refuse("two modules are the least");
  if (module_epochs < 1) refuse("each module is trained for an epoch at least");
  if (around == Around::kMeta && meta_epochs < 1)
    refuse("the meta model is trained for an epoch at least");
  if (!(rate > 0) || !std::isfinite(rate)) refuse("the rate must be positive");
}

}  // namespace espalier

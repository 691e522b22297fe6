// Training a network module by module (Ni et al. 2022, arXiv:2212.04129): a meta model with one
// block in the place of each module is trained whole; then each module is trained in its place in
// the meta model, which is frozen, by the loss of the whole; the modules together are the network,
// which is trained shortly. The trainings of modules do not need each other.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compress/modules.h"
#include "train/trainer.h"

namespace espalier {

struct Incubation {
  int64_t modules = 4;
  int64_t meta_epochs = 3;    ///< of Around::kMeta
  int64_t module_epochs = 1;  ///< of each module
  double rate = 1;            ///< of meta model and modules: the schedule's peak is times this
  Around around = Around::kMeta;

  /// "modules=4,…": what a resumed run must agree on.
  std::string text() const;
  /// UserError for values that cannot be used.
  void check(const std::string& where) const;
};

/// What a job took and gave.
struct JobReport {
  std::string name;
  int64_t parameters = 0;  ///< elements, of the job's network
  int64_t trained = 0;     ///< of these
  double step_macs = 0;    ///< multiply-accumulates of a training step
  StepMemory memory;
  std::vector<EpochReport> history;

  double macs() const { return history.empty() ? 0 : step_macs * double(history.back().steps); }
};

/// Where an incubation keeps its jobs, and how it goes on.
struct IncubationFiles {
  std::filesystem::path folder = {};  ///< a folder each, by name; empty keeps nothing
  bool resume = false;                ///< finished jobs are taken as they are
  bool any_threads = false;
  /// Trains this job alone, so that others may be trained elsewhere at the same time; it needs the
  /// folder. UserError where it is no job, or needs one that is not finished.
  std::string only = {};
};

struct IncubatedNetwork {
  bool finished = false;       ///< all jobs are; else only `jobs` is of use
  bool only_finished = false;  ///< IncubationFiles::only is
  /// Parameters and statistics of the network, for CarriedStates or with_values.
  std::map<std::string, Tensor> values;
  std::vector<JobReport> jobs;  ///< that were trained or found finished, in their order
};

/// Trains the modules. The network's last training, with last_options, is the caller's.
class IncubationTrainer {
 public:
  /// UserError where the network cannot be split so.
  IncubationTrainer(const Graph& network, std::shared_ptr<const Dataset> train,
                    std::shared_ptr<const Dataset> val, TrainOptions options,
                    Incubation incubation);
  ~IncubationTrainer();

  const std::vector<ModuleJob>& jobs() const;
  /// UserError where no job has this name.
  void check_job(const std::string& name) const;
  /// Multiply-accumulates of all jobs, as they are known before any training.
  double planned_macs(int64_t steps_of_epoch) const;

  /// Once.
  IncubatedNetwork train(const IncubationFiles& files = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier

// Fitting a network to a budget on this machine: train (or take as it is), cut, lower the
// precision, time every candidate beside the baseline, and return the fastest one that meets the
// budget. Never a slower one than was given.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/source.h"
#include "data/spec.h"
#include "ir/graph.h"
#include "recipe/fit_summary.h"
#include "train/trainer.h"

namespace espalier {

struct FitPlan {
  std::string model;  ///< how reports name the network
  Graph network;      ///< inference form, first dimension of its input free or fixed
  DataSpec data;
  std::shared_ptr<const DataSource> source;  ///< `data`, read
  Budget budget;                             ///< drop 1.0 where it names none
  TrainOptions train;                        ///< epochs 0: the network is trained already
  TrainOptions prune;                        ///< epochs 0: nothing is cut
  double keep_macs = 0.5;                    ///< of the cut, where the budget does not say
  int64_t width_multiple = 8;  ///< kept channels are multiples of this where a layer is wide enough
  std::vector<std::string> precisions = {"f32", "bf16", "int8"};
  int64_t calibration_samples = 512;
  int threads = 1;    ///< at which latency is measured
  int64_t batch = 1;  ///< at which latency is measured
  int rounds = 9;     ///< alternating rounds of timing
  uint64_t seed = 0;
  std::string command;  ///< how it was asked for, for the report
  std::string version;

  /// What a resumed fit must agree on.
  std::string fingerprint() const;
};

struct FitFiles {
  std::filesystem::path folder;  ///< run directory, exists
  bool overwrite = false;    ///< an earlier fit is removed once this one is known to be possible
  bool any_threads = false;  ///< resume training at another thread count
};

/// Runs (or goes on with) the fit in its folder, which afterwards holds model.onnx, model.plan,
/// summary.json and report.html. Progress goes to the log. Throws UserError for input that cannot
/// be used, before any work: (infeasible) when no cut can reach the budget's share of
/// multiply-accumulates. A budget that no candidate meets is told by `met`; the result is then the
/// candidate that exceeds it least among those that are neither slower nor less accurate than
/// allowed. Nothing is returned when a stop was requested: everything done so far is kept.
std::optional<FitSummary> fit(const FitPlan& plan, const FitFiles& files);

}  // namespace espalier

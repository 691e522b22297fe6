// Training in a V-cycle over networks of several sizes (Zou et al. 2024, arXiv:2404.07999): the
// network is trained shortly, coalesced, its smaller copy is trained, which is
// cheap, and de-coalesced. Copies of a neuron are alike and would stay so; interpolation with what
// the network was before makes them differ. Then the network is trained on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compress/coalesce.h"
#include "train/moments.h"
#include "train/trainer.h"

namespace espalier {

struct VCycle {
  int64_t levels = 2;  ///< sizes of the network, itself among them
  CoalesceOptions merge;
  int64_t first = 1;  ///< epochs of each size on the way down
  int64_t small = 4;  ///< epochs of the smallest size, and of each on the way up but the last
  double rate = 1;    ///< of the smaller sizes: the schedule's peak is times this
  /// Values are (1 - alpha) times those before, alpha times the de-coalesced ones.
  double alpha = 0.5;
  /// Moments of the optimiser go along; else each size begins without.
  bool carry = true;

  /// "levels=2,…": what a resumed run must agree on.
  std::string text() const;
  /// UserError for values that cannot be used.
  void check(const std::string& where) const;
};

/// One stretch of a cycle.
struct CycleStretch {
  int64_t level = 0;  ///< 0 is the network itself
  int64_t parameters = 0;
  double step_macs = 0;  ///< multiply-accumulates of a training step
  double step_ms = 0;    ///< the median; 0 where none was timed
  std::vector<EpochReport> history;

  double macs() const { return history.empty() ? 0 : step_macs * double(history.back().steps); }
};

/// Where a cycle keeps its stretches, and how it goes on.
struct CycleFiles {
  std::filesystem::path folder = {};  ///< empty keeps nothing
  bool resume = false;                ///< finished stretches are taken as they are
  bool any_threads = false;
};

/// The network where the cycle has come back to it.
struct CycledNetwork {
  bool finished = false;  ///< false: stopped on the way; only `stretches` is of use then
  /// For CarriedStates: parameters and statistics, and moments where those are carried.
  std::map<std::string, Tensor> states;
  int64_t steps = 0;  ///< that the moments have seen
  std::vector<CycleStretch> stretches;
};

/// Trains down to the smallest size and up to the network again. The network's last training, with
/// last_options and CarriedStates, is the caller's.
class VCycleTrainer {
 public:
  /// UserError where the network cannot be made smaller, or moments are to be carried that the
  /// optimiser does not have.
  VCycleTrainer(const Graph& network, std::shared_ptr<const Dataset> train,
                std::shared_ptr<const Dataset> val, TrainOptions options, VCycle cycle);
  ~VCycleTrainer();

  /// Once.
  CycledNetwork train(const CycleFiles& files = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Of the network's last training: the given schedule without its warm-up.
TrainOptions last_options(TrainOptions options);

/// Multiply-accumulates of a step: forward, backward and update.
double macs_of_step(const StepGraph& step);

}  // namespace espalier

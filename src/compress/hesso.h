// HESSO: pruning while training once (Chen et al., "HESSO: Towards Automatic Efficient and User
// Friendly Any Neural Network Training and Pruning", arXiv:2409.09085).
//
// After a warm-up, groups are ranked in periods by a mix of saliencies; those the budget no longer
// has room for are redundant: while everything else trains on, the optimiser's update of a
// redundant group is followed by a projection that shrinks it linearly to exactly zero by the end
// of the period, and it stays zero. The rest of training then recovers what was lost. The cut
// network computes what the zeroed one computes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compress/budget.h"
#include "train/trainer.h"

namespace espalier {

struct HessoOptions {
  CutBudget budget;
  /// The parts of all steps before the first period and until the end of the last. The defaults are
  /// not meant to be tuned.
  double begin = 0.15, end = 0.55;
  int periods = 10;
};

class Hesso : public TrainHook {
 public:
  /// `classes` of the network that is trained. UserError (infeasible) when the classes that
  /// training can silence cannot meet the budget.
  Hesso(AxisClasses classes, HessoOptions options);

  void on_gradients(StepGraph& step) override;
  void on_updates(StepGraph& step) override;
  void before_step(Trainer& trainer, const StepReport& coming) override;
  std::map<std::string, Tensor> save() const override;
  void restore(const std::map<std::string, Tensor>& tensors) override;

  /// Groups that are not redundant so far.
  Keep keep() const;
  const AxisClasses& classes() const { return classes_; }
  /// The trained network without its redundant groups.
  Graph cut(const Graph& trained) const;

 private:
  enum class Fate : uint8_t { kKept, kShrinking, kCut };
  /// A parameter's axis along which groups are silenced, or their saliency is gathered.
  struct Track {
    std::string parameter;
    int axis = 0;
    int64_t extent = 0;
    std::string name(const char* what) const;
  };

  std::vector<Track> tracks(bool producing_only) const;
  int64_t boundary(int period, int64_t total) const;
  void begin_period(Trainer& trainer, int period);
  void settle();
  Saliency saliency(Trainer& trainer) const;
  void set_factors(Trainer& trainer, float shrinking) const;

  AxisClasses classes_;
  HessoOptions options_;
  std::vector<Fate> fate_;  ///< by flat group
  bool settled_ = false;    ///< the factors of this run are as they will stay
};

}  // namespace espalier

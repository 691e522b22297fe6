// Per-weight consolidation: each element of a parameter holds on to a value as strongly as it is
// told, from not at all to for ever. One mechanism behind elastic weight consolidation (Kirkpatrick
// et al. 2017, arXiv:1612.00796), freezing, masks, and growth and pruning of units (Ling & Bohn
// 2021, arXiv:2105.00157).
#pragma once

#include <limits>
#include <map>
#include <string>

#include "data/dataset.h"
#include "train/trainer.h"

namespace espalier {

/// The strength of elements that no training changes by a bit.
inline constexpr float kFrozen = std::numeric_limits<float>::infinity();

/// The loss gains strength / 2 (w - anchor)^2 for each element w. Both f32 of the parameter's
/// shape; strengths are not negative.
struct Hold {
  Tensor strength, anchor;
};
/// By parameter.
using Consolidation = std::map<std::string, Hold>;

/// Strength 0 everywhere; anchors are the present values.
Consolidation unconsolidated(const Graph& network);

/// Adds `times` importance / 2 (w - present value)^2: the sum of two such terms is one again, up to
/// a number. Parameters without an importance stay as they were.
void consolidate(Consolidation& consolidation, const Graph& network,
                 const std::map<std::string, Tensor>& importance, double times);

/// The diagonal of the Fisher information of each parameter, from the network's own answers to up
/// to `samples` samples drawn by `seed`: the mean of the squared gradients of log p(c) weighted by
/// p(c), over all classes c. `output` as in StepOptions.
std::map<std::string, Tensor> fisher_diagonal(const Graph& network, const Dataset& data,
                                              int64_t samples, const std::string& output = "",
                                              uint64_t seed = 0);

/// Holds parameters during training, whatever the optimiser: after its step w' at rate r, w is
/// (w' + r strength anchor) / (1 + r strength), the proximal step of the term above, which is
/// stable at any strength; at kFrozen it is the anchor.
class ConsolidationHook : public TrainHook {
 public:
  explicit ConsolidationHook(Consolidation consolidation)
      : consolidation_(std::move(consolidation)) {}
  void on_updates(StepGraph& step) override;
  /// From the next step on. The same parameters as before.
  void change(Trainer& trainer, const Consolidation& consolidation);

 private:
  Consolidation consolidation_;
};

}  // namespace espalier

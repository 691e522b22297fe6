// In which mode normalisations with running statistics are trained (You et al., "Efficient ConvBN
// Blocks for Transfer Learning and Beyond", arXiv:2305.11624):
//
//   train   by the statistics of each batch, which the running ones follow
//   eval    by the running statistics, which stay; what it normalises is kept for its gradient
//   tune    the same function with the same gradients: the factors go into the weights of the
//           contraction before it by nodes of the step, so that one contraction runs
//   deploy  the factors are in the weights before training begins, and these weights are trained
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

enum class NormMode : uint8_t { kTrain, kEval, kTune, kDeploy };
/// "train", "eval", "tune", "deploy", in the order of NormMode.
const std::vector<std::string>& norm_mode_names();

struct NormRule {
  NormMode mode = NormMode::kTrain;
  /// Of the first parameters of normalisations ("layer1.*", as in Filter). Empty: all.
  std::vector<std::string> names;

  bool operator==(const NormRule&) const = default;
};
/// Each normalisation follows the first rule that fits it; one that none fits is in train mode.
using NormRules = std::vector<NormRule>;
/// "tune(layer1.*),eval"; empty without rules.
std::string to_string(const NormRules& rules);

/// The modes of a network's normalisations, by the name of what each gives. A normalisation is a
/// node that reads running statistics (Role::kBuffer) and has a training form. Those that rules of
/// mode tune and deploy find no contraction for are in eval mode, which computes the same.
///
/// UserError for a pattern that is the name of no normalisation, for a rule that none follows, and
/// for tune and deploy where none of those that follow can be folded; not of a network that is
/// `already_deployed`.
std::map<std::string, NormMode> norm_modes(const Graph& network, const NormRules& rules,
                                           bool already_deployed = false);

/// Whether a rule's mode is deploy.
bool deploys(const NormRules& rules);
/// The network with the normalisations of mode deploy folded into the weights before them, which
/// keep their names; biases that come of it have the name of the bias they replace. Errors as of
/// norm_modes.
Graph deployed(Graph network, const NormRules& rules);

/// Rewrites a step's forward half: normalisations whose result is named in `modes` as kTune.
void tune_norms(Graph& graph, const std::map<std::string, NormMode>& modes);

}  // namespace espalier

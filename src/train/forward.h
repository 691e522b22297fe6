// The forward half of a training step.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "train/norm_mode.h"

namespace espalier {

/// A network ready for a loss: nodes in training form, parameters and buffers as inputs, shapes
/// resolved for one batch.
struct Forward {
  Graph graph;
  /// Names of trained inputs, in the network's order.
  std::vector<std::string> parameters;
  /// Buffers that the training form feeds anew: name of the buffer's input, name of its next value.
  std::map<std::string, std::string> next;
  /// Buffers whose next value is what the gradient of the loss for them is defined as: those that a
  /// training form reads and gives no next value of.
  std::vector<std::string> by_gradient;
  /// Name of the i64 [] input, the step number, that varies what nodes draw at random; empty where
  /// none draws.
  std::string step;
};

/// Training form by the rooms' `with_mode`: the results a node gains there are, in order, the next
/// values of its buffer operands. `input` is the type of one batch; `output` names the value kept
/// as the only output (empty: the network's own). UserError for a network without exactly one
/// input that takes this type. What nodes draw is a function of `seed`, the node and the step.
///
/// Parameters stored as integers are constants. Of `trained`, where it is given, are the parameters
/// that become inputs; the others are constants, and so are the statistics of nodes not all of
/// whose parameters are trained, which stay in inference form. What follows from constants alone is
/// folded, normalisations into contractions.
///
/// `norms` says in which mode normalisations train; of mode deploy the network is given as
/// deployed() gives it. `kept` names values that become further outputs.
Forward training_forward(const Graph& network, const TensorType& input, const std::string& output,
                         uint64_t seed = 0,
                         const std::optional<std::set<std::string>>& trained = std::nullopt,
                         const NormRules& norms = {}, const std::vector<std::string>& kept = {});

/// The graph with contractions computed in `precision`, and what lies between them as well where
/// its room takes operands of that type. Values named in `keep` and outputs have the type they had.
Graph narrowed(const Graph& graph, DType precision, const std::vector<std::string>& keep);

}  // namespace espalier

// Losses of single layers, whose gradients stop where the layer begins: what rules without
// backpropagation are written in.
//
// A layer ends at what the next contraction with a trained weight reads: pooled, reshaped and
// activated as it is read, or a recurrent state as the next time step reads it. Layers on parallel
// paths (residual blocks) end at every such place. In the compiled step a layer is updated as soon
// as it has answered, so its activations need not wait for those behind it.
#pragma once

#include <string>
#include <vector>

#include "train/rule.h"
#include "train/step.h"

namespace espalier {

class LocalLosses {
 public:
  /// Cuts the step's forward graph. UserError where an output does not have the batch first.
  explicit LocalLosses(RuleStep& rule);

  struct Layer {
    ValueId output = kNoValue;  ///< [batch, ...]
    /// What those behind the layer read in the place of its output, while the graph is cut.
    ValueId stand_in = kNoValue;
    /// The first trained parameter of the layer: time steps of one recurrence have the same.
    std::string parameter;
    Shape shape;  ///< of the output, without the batch
  };
  /// In the order they are computed. The last layer, which ends at the loss, is not among them.
  const std::vector<Layer>& layers() const { return layers_; }

  /// A fixed random matrix [from, elements of `shape`], normal with that deviation.
  ValueId projection(const Layer& layer, int64_t from, const Shape& shape, double deviation);
  /// What the layer's output, or something of that shape made of it, is compared with or pushed
  /// along: each sample's target, times such a matrix. Of labels its rows. [batch, shape...].
  ValueId projected_target(const Layer& layer, const Shape& shape, double deviation);
  /// The gradient of the step's loss with respect to its logits, [batch, classes], through which no
  /// gradient goes.
  ValueId error();
  /// A stand-in for whoever reads `value` by now, and for the caller: no gradient goes through it.
  ValueId detached(ValueId value);
  /// `rows` [batch, elements] as [batch, shape...].
  ValueId as_shape(ValueId rows, const Shape& shape);

  /// Adds to what is minimised.
  void add(ValueId loss) { sum_ = builder_.add(sum_, loss); }
  /// Gives every parameter its gradient: of the step's own loss in the last layer, of what was
  /// added elsewhere; and puts the forward graph together again.
  void differentiate();

  /// The same in parts, for layers that are run for their losses alone: in the order in which these
  /// parts are called a step computes them, and activations of a layer that is taught are done
  /// with. First the step's own loss and what was added, then each layer's, then the end.
  void differentiate_last();
  void teach(ValueId loss);
  void join();

 private:
  void find_layers();

  RuleStep& rule_;
  StepGraph& step_;
  Builder builder_;
  std::vector<Layer> layers_;
  std::vector<std::pair<ValueId, std::string>> placeholders_;  ///< and the names they stand for
  ValueId sum_ = kNoValue, error_ = kNoValue;
};

/// Contractions of an activation that depends on a trained parameter with a weight that is trained,
/// in the order in which they are computed.
struct TrainedContraction {
  NodeId node = kNoNode;
  ValueId activation = kNoValue, weight = kNoValue;
};
std::vector<TrainedContraction> trained_contractions(const StepGraph& step);

/// Puts the expansion in the place of every contraction whose gradient goes through it.
void expand_contractions(StepGraph& step);

}  // namespace espalier

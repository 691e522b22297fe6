// A training step as one graph: forward in training form, loss, gradients, clipping and optimiser.
// Gradients are those of the loss, unless another rule is chosen (train/rule.h).
//
// Parameters, moments and running statistics are state pairs; inputs, targets, learning rate and
// step number are inputs; the loss and the number of right answers are outputs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "train/norm_mode.h"
#include "train/optimizer.h"
#include "train/rule.h"

namespace espalier {

class GradientEstimator;

enum class Loss : uint8_t {
  kCrossEntropy,  ///< logits [N, ..., C], labels i64 [N, ...]; the mean over all labels
  kMeanSquared,   ///< any float tensor, targets of its shape
  /// Logits [N, C], targets f32 [N]: the sum of the samples' entropies in nats times their targets.
  /// Nothing is to be answered: what is trained becomes surer of what it says.
  kEntropy,
  /// Embeddings [2 N, D] of length 1, first those of one view of N samples, then of another;
  /// targets i64 [N] are the samples' numbers. See train/contrastive.h.
  kContrastive,
};

/// How many views of each sample a loss reads.
inline int64_t views_of(Loss loss) { return loss == Loss::kContrastive ? 2 : 1; }

/// Of kContrastive.
struct ContrastiveOptions {
  enum class Kind : uint8_t {
    kInfoNce,  ///< cross-entropy of the own other view among those of the batch
    /// Over all samples: what a batch estimates of the sum over negatives is averaged with what
    /// earlier batches did.
    kGlobal,
  };
  Kind kind = Kind::kInfoNce;
  double temperature = 0.1;  ///< where the network predicts none (train/temperature.h)
  double gamma = 0.8;        ///< of kGlobal: what the batch counts in the averages; 1: alone
  int64_t samples = 0;       ///< of kGlobal: in all
};

struct StepOptions {
  Shape input;                    ///< of one batch: [batch, ...]
  DType input_type = DType::f32;  ///< or i64, for tokens
  Loss loss = Loss::kCrossEntropy;
  double label_smoothing = 0;  ///< of kCrossEntropy
  /// Of kCrossEntropy and global kContrastive, of networks that predict temperatures: the radius in
  /// nats of the robust loss that is minimised (train/temperature.h).
  std::optional<double> rho = {};
  ContrastiveOptions contrastive = {};
  double clip_norm = 0;  ///< largest global norm of all gradients; 0: unclipped
  Optimizer optimizer;
  Rule rule;  ///< where gradients come from
  /// bf16 runs contractions and the activations between them in bf16; parameters, statistics,
  /// moments and the loss stay in f32.
  DType precision = DType::f32;
  /// The value that the loss is attached to; empty: the network's only output.
  std::string output;
  uint64_t seed = 0;  ///< of what nodes draw at random in training form, and optimisers
  /// Names of the parameters that are trained; the others are constants of the step and change by
  /// no bit. Nothing: all are trained.
  std::optional<std::set<std::string>> trained;
  /// In which mode normalisations train; see training_forward.
  NormRules norms;
  /// By name, what the learning rate of a parameter is multiplied by; those not named by 1.
  std::map<std::string, double> rate_factors = {};
};

/// A trained parameter, from the step's point of view.
struct StepParameter {
  std::string name;          ///< of the network's constant, of the state and of its input
  ValueId value = kNoValue;  ///< before the step
  /// Of the loss, or what the rule takes for it; already clipped when the optimiser reads it.
  ValueId gradient = kNoValue;
  ValueId updated = kNoValue;  ///< after the step; set by the optimiser
  bool decays = false;         ///< whether weight decay applies
  /// Nothing but products reads it, moved or not, and it has two axes or more.
  bool only_multiplied = false;
};

/// A step under construction, as hooks see it.
struct StepGraph {
  Graph graph;
  ValueId input = kNoValue;    ///< the network's input [batch, ...]
  ValueId targets = kNoValue;  ///< labels or numbers
  ValueId rate = kNoValue;     ///< f32 [], the learning rate
  ValueId step = kNoValue;     ///< i64 [], counts from 1
  ValueId logits = kNoValue;   ///< f32, what the loss reads
  /// f32, the temperatures that the loss reads; kNoValue where it reads none.
  ValueId temperature = kNoValue;
  ValueId loss = kNoValue;  ///< f32 []
  /// f32 [], what is minimised: the loss or what stands for it, and penalties that hooks add.
  ValueId objective = kNoValue;
  ValueId correct = kNoValue;  ///< f32 [], right answers; kNoValue without labels
  std::vector<StepParameter> parameters;
  uint64_t seed = 0;            ///< of what is drawn at random
  int64_t optimizer_bytes = 0;  ///< of the states that the optimiser keeps
  /// Of rules that compute gradients beside the step; else null.
  std::shared_ptr<GradientEstimator> estimator;
  /// Names of the inputs that take its gradients, in the order of `parameters`.
  std::vector<std::string> fed_gradients;
  /// First values of all states, by the name of their input.
  std::map<std::string, Tensor> initial;
  /// First values of inputs that hooks added, by name; Trainer::set_input changes them.
  std::map<std::string, Tensor> extra_inputs;

  /// A state of the hook's own: returns the value before the step; feed it with set_next. Its name
  /// must not be taken. Saved and restored with all others.
  ValueId add_state(const std::string& name, const Tensor& first);
  void set_next(ValueId state, ValueId next) { graph.add_state(state, next); }
  /// Minimises a scalar f32 [] besides the loss; of use in on_loss.
  void add_penalty(ValueId penalty);
  /// A state of the optimiser's, zeros at first; counted in optimizer_bytes.
  ValueId add_optimizer_state(const std::string& name, const Shape& shape, DType type = DType::f32);
  /// An input that keeps its value until it is set anew.
  ValueId add_input(const std::string& name, const Tensor& first);
  /// A further result, read through Trainer::output(name) after each step.
  void add_output(const std::string& name, ValueId value);
  StepParameter& parameter(const std::string& name);
};

/// Bytes of a compiled step, as planned.
struct StepMemory {
  int64_t arena = 0;      ///< activations, gradients and scratch memory
  int64_t constants = 0;  ///< frozen parameters as kernels read them, and whatever else is known
  int64_t states = 0;     ///< trained parameters, moments, statistics
  int64_t total() const { return arena + constants + states; }
};

/// What a hook may change while the step is built.
struct StepExtension {
  /// After differentiation: gradients may be replaced, saliencies computed.
  std::function<void(StepGraph&)> on_gradients;
  /// After the optimiser: updated parameters may be replaced (masked, projected).
  std::function<void(StepGraph&)> on_updates;
  /// Before differentiation: penalties may be added to what is minimised.
  std::function<void(StepGraph&)> on_loss;
};

/// Attaches loss, gradients and optimiser to a network with one input. Its Role::kParameter
/// constants are trained (or those of `trained`: gradients of the others are not computed), its
/// Role::kBuffer constants follow the training forms of the nodes that read them. UserError when
/// the network has no parameters, or its output does not fit the loss, or some node cannot be
/// differentiated.
StepGraph build_training_step(const Graph& network, const StepOptions& options,
                              std::span<const StepExtension> extensions = {});

/// The network with constants replaced by the tensors of equal name.
Graph with_values(const Graph& network, const std::map<std::string, Tensor>& values);

}  // namespace espalier

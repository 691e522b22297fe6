// The training loop: epochs over a loader, one compiled step, evaluation, log, checkpoints, resume.
//
// As a library (fit, pruning while training): give hooks. They may extend the step graph with
// states, inputs and outputs of their own, look at and change any state after each step or epoch,
// stop the run, and keep tensors in its checkpoints.
//
//   Trainer trainer(network, train, val, options);
//   trainer.train();
//   Graph result = trainer.network();
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/loader.h"
#include "train/checkpoint.h"
#include "train/schedule.h"
#include "train/step.h"

namespace espalier {

struct TrainOptions {
  int64_t epochs = 10;
  int64_t batch = 128;
  /// Steps of an epoch: each draws a new order and ends after so many; 0: with the data.
  int64_t epoch_steps = 0;
  uint64_t seed = 0;  ///< of order, augmentation and dropout
  Augment augment;
  Schedule schedule;
  Optimizer optimizer;
  Rule rule;  ///< where gradients come from
  Loss loss = Loss::kCrossEntropy;
  double label_smoothing = 0;
  std::optional<double> rho = {};       ///< see StepOptions
  ContrastiveOptions contrastive = {};  ///< of kContrastive; `samples` are the data's
  double clip_norm = 0;
  DType precision = DType::f32;
  std::string output;  ///< see StepOptions
  /// Most bytes of a step (StepMemory::total); 0: whatever it takes. See train/recompute.h.
  int64_t memory = 0;
  /// Whether the inputs of reversible blocks are computed again from their outputs. See
  /// train/reversible.h.
  bool reversible = false;
  /// Activations that the backward pass reads are kept in 8-bit floats; nothing: as they were
  /// computed. See train/saved_activations.h.
  std::optional<Float8Groups> saved_activations = {};
  /// Names of the parameters that are trained; nothing: all. See StepOptions.
  std::optional<std::set<std::string>> trained;
  /// In which mode normalisations train. Of mode deploy the network is given as deployed() gives
  /// it.
  NormRules norms;
  /// Of parameters by name, see StepOptions.
  std::map<std::string, double> rate_factors = {};
  int64_t log_every = 50;  ///< steps between lines of the log; 0: epochs only
  int64_t save_every = 0;  ///< further checkpoints every so many steps; 0: each epoch only
  int64_t eval_batch = 250;
  std::string name = "training";  ///< what the progress line says

  /// What a resumed run must agree on, as text. The thread count is kept beside it.
  std::string fingerprint() const;
  /// UserError for values that cannot be used; `where` names the options.
  void check(const std::string& where) const;
};

/// The step that a trainer with these options takes on such data.
StepOptions step_options(const TrainOptions& options, const Dataset& data);
/// The same for samples of that shape and type.
StepOptions step_options(const TrainOptions& options, const Shape& sample, DType type);

/// Where a run keeps itself; empty paths keep nothing.
struct TrainFiles {
  std::filesystem::path checkpoints;  ///< folder
  std::filesystem::path log;          ///< JSONL file
};

/// How well a network answers.
struct Evaluation {
  double loss = 0;      ///< mean over answers: samples, or the tokens of all windows
  double accuracy = 0;  ///< part answered rightly; 0 where there are no classes
  int64_t samples = 0;
  /// Of labels per place (of a picture, a volume), for each class 2 |A and B| / (|A| + |B|) of the
  /// places A that have the label and the places B that are answered with it, over all samples;
  /// 1 where there are neither. Empty where a sample has one label, or its labels are tokens.
  std::vector<double> dice = {};
};

/// e^loss of a loss in nats a token.
double perplexity(double loss);
/// A loss in nats a token as bits for each byte of text.
double bits_per_byte(double loss, double bytes_per_token);

/// Runs the network (in inference form) over a data set. `output` as in StepOptions.
Evaluation evaluate(const Graph& network, const Dataset& data, Loss loss, int64_t batch = 250,
                    const std::string& output = "");

struct StepReport {
  int64_t step = 0;  ///< just done, counts from 0
  int64_t epoch = 0;
  int64_t steps_per_epoch = 0, total_steps = 0;
  double loss = 0;
  double correct = 0;  ///< part of the batch's answers that were right
  double learning_rate = 0;
};

class Trainer;

/// Something that takes part in training. All calls come from the training thread.
class TrainHook {
 public:
  virtual ~TrainHook() = default;
  /// Changes to the step while it is built; see StepExtension.
  virtual void on_loss(StepGraph&) {}
  virtual void on_gradients(StepGraph&) {}
  virtual void on_updates(StepGraph&) {}
  /// Before the first step of train(), fresh or resumed.
  virtual void on_start(Trainer&) {}
  virtual void before_step(Trainer&, const StepReport& coming) {}
  virtual void after_step(Trainer&, const StepReport&) {}
  virtual void after_epoch(Trainer&, const EpochReport&) {}
  /// Tensors that belong into a checkpoint, and back. Names are the hook's own.
  virtual std::map<std::string, Tensor> save() const { return {}; }
  virtual void restore(const std::map<std::string, Tensor>&) {}
};

struct TrainResult {
  std::vector<EpochReport> history;
  bool finished = false;  ///< false: stopped by a signal, a request or a hook
};

class Trainer {
 public:
  /// Builds and compiles the step. `val` may be null: nothing is evaluated then. Hooks must outlive
  /// the trainer. UserError when network, data and options do not fit each other.
  Trainer(Graph network, std::shared_ptr<const Dataset> train, std::shared_ptr<const Dataset> val,
          TrainOptions options, TrainFiles files = {}, std::vector<TrainHook*> hooks = {});
  ~Trainer();

  /// Goes on from the newest checkpoint. False when there is none. UserError when it is damaged,
  /// was made with other options or data, or at another thread count (unless `any_threads`).
  bool resume(bool any_threads = false);
  /// Runs until the last epoch, a stop request or stop(). When the loss or a parameter stops being
  /// finite: UserError naming the step and, without hooks and where a copy of the states is small
  /// enough to be kept, the value that was the first; the last good state is then a checkpoint.
  TrainResult train();
  /// Makes train() save and return after the running step.
  void stop();

  /// The network in inference form with the present parameters and statistics.
  Graph network() const;
  /// Evaluates it on any data.
  Evaluation evaluate(const Dataset& data) const;

  // ---- for hooks and workshops ------------------------------------------------------------------
  const TrainOptions& options() const;
  const StepGraph& step_graph() const;
  /// Copies of states by name (a parameter's name; "NAME:velocity" and so on for moments).
  Tensor state(const std::string& name) const;
  void set_state(const std::string& name, const Tensor& value);
  std::vector<std::string> state_names() const;
  /// The value of an input that a hook added, from the next step on.
  void set_input(const std::string& name, const Tensor& value);
  /// A result that a hook added, of the last step.
  Tensor output(const std::string& name) const;
  int64_t steps_done() const;
  /// What the compiled step takes, as planned.
  StepMemory memory() const;
  /// Bytes of the states that the optimiser keeps beside the parameters.
  int64_t optimizer_bytes() const;
  int64_t steps_per_epoch() const;
  /// Bytes of what the backward pass reads of the forward pass, as it is kept; 0 of rules without
  /// one.
  int64_t saved_bytes() const;
  /// Losses of batches that the rule has asked for beside the steps' own; 0 of rules that ask none.
  int64_t queries() const;
  /// Milliseconds of each of the last steps, newest last, data waiting included.
  const std::vector<float>& step_ms() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier

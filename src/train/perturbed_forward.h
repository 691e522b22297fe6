// Losses of a step's network near the parameters it has: what zeroth-order training asks for.
//
// With reuse, a loss at one moved element is computed from the values before the first node that
// reads its parameter, which are computed once for all (Chen et al. 2024, "DeepZero: scaling up
// zeroth-order optimization for deep model training", arXiv:2310.02025, section 5: feature reuse).
// Losses are asked for many at a time and computed in parallel, each on one thread; they do not
// depend on how many threads there are.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/loader.h"
#include "train/step.h"

namespace espalier {

class Program;
class Session;
class StepSession;

class PerturbedForward {
 public:
  /// `step` has its forward and loss, no gradients yet.
  PerturbedForward(const StepGraph& step, bool reuse);
  ~PerturbedForward();
  /// Compiles, once.
  void prepare();

  /// From now on losses are those of `batch` at the states of `at`; gives the loss there.
  double start(StepSession& at, const Batch& batch, int64_t number);
  const std::vector<Tensor>& parameters() const { return parameters_; }

  /// An element of a parameter, by its place in the step's list, and what is added to it.
  struct Move {
    size_t parameter;
    int64_t element;
    float by;
  };
  std::vector<double> moved(std::span<const Move> moves);
  /// Losses at `count` other points: `point(i, parameters)` changes elements of the tensors, which
  /// hold the present ones. Called from several threads.
  std::vector<double> elsewhere(int64_t count,
                                const std::function<void(int64_t, std::vector<Tensor>&)>& point);

  /// Losses computed so far, those of start() among them.
  int64_t queries() const { return queries_; }
  int64_t bytes() const;

 private:
  /// The loss from the values that one or more parameters do not touch.
  struct Suffix {
    Graph graph;
    std::vector<bool> nodes;  ///< of the step's graph
    std::shared_ptr<const Program> program;
  };
  /// What one thread computes with.
  struct Worker {
    std::vector<Tensor> parameters;  ///< its own copies
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<std::vector<Tensor>> inputs;  ///< of each suffix
    std::vector<Tensor> loss;
  };
  void add_suffix(const Graph& graph, ValueId loss, size_t parameter, bool reuse);
  void collect(StepSession& at, const Batch& batch, int64_t number);
  double run(Worker& worker, size_t suffix) const;
  void each(int64_t count, const std::function<void(Worker&, int64_t)>& body);

  std::vector<std::string> names_;  ///< of the parameters
  std::vector<int> suffix_of_;      ///< each parameter's; -1 where the loss does not depend on it
  std::vector<Suffix> suffixes_;    ///< the first computes everything
  Graph features_;                  ///< the loss, then what suffixes begin with
  std::vector<std::string> frontier_;
  std::string input_, targets_, step_;
  std::vector<std::string> buffers_;
  std::unique_ptr<Session> feature_session_;
  std::vector<Tensor> feature_inputs_, feature_outputs_;
  std::vector<Worker> workers_;
  std::vector<Tensor> parameters_;
  std::map<std::string, Tensor> values_;  ///< of inputs of all programs, by name
  int64_t queries_ = 0;
};

}  // namespace espalier

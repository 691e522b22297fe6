// Hypernetworks (Ha et al. 2016, arXiv:1609.09106): a network whose weights another one, its
// generator, makes from a condition while it runs, all in one graph that any trainer trains.
//
//   const Hypernetwork h(network, {.generator = {"mlp"}, .numbers = 1, .encoded = true,
//                                  .residual = true}, seed);
//   ConditionDraws draws(1, seed);                        // condition.h: another at each step
//   Trainer trainer(h.graph(), train, val, options, {}, {&draws});
//   trainer.train();
//   Graph plain = h.fixed(trainer.network(), condition);  // an ordinary network
//
// The condition is a constant of the graph, "condition": a buffer of numbers in [0, 1], which a
// hook may change from step to step, or the number of a task, whose vector is learned.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "train/generator.h"
#include "train/trainer.h"

namespace espalier {

struct HypernetworkSpec {
  GeneratorSpec generator;
  /// Patterns over names of parameters: which are generated. Empty: all.
  std::vector<std::string> targets = {};
  /// The condition: so many numbers, or one of so many tasks; the other is 0.
  int64_t numbers = 0, tasks = 0;
  /// Length of a task's vector.
  int64_t embedding = 8;
  /// Numbers z are given to the generator as cos(pi z / 2) and sin(pi z / 2), so that their norm is
  /// always the same (Ortiz et al. 2023, arXiv:2304.07645, section 4.1).
  bool encoded = false;
  /// What is generated is added to parameters that are learned as well, at first the network's own
  /// (section 4.2 there).
  bool residual = false;
  /// Of what is generated at first: the deviation of each weight over all conditions, as a part of
  /// the deviation of the first values of the network's own parameter. A constant factor, so what
  /// the generator learns is scaled by as much.
  double scale = 1;

  /// UserError for what cannot be.
  void check(const std::string& where) const;
};

class Hypernetwork {
 public:
  /// `network` has first values, from which follow those of the generator. UserError where a
  /// pattern matches no parameter, or names of the generator are taken.
  Hypernetwork(const Graph& network, HypernetworkSpec spec, uint64_t seed);

  const HypernetworkSpec& spec() const { return spec_; }
  /// Of one input, as before.
  const Graph& graph() const { return graph_; }
  /// How many numbers are generated for a condition, and how many parameters are learned.
  int64_t generated_elements() const { return total_; }
  int64_t learned_elements() const;

  /// The plain network for one condition, by the values that `trained` (the graph above, trained)
  /// has: f32 [1, numbers] or i64 [1].
  Graph fixed(const Graph& trained, const Tensor& condition) const;
  /// The graph with the condition as a second input of that type.
  Graph with_condition_input(const Graph& trained) const;
  /// All weights generated for each of some conditions, f32 [rows, generated_elements()].
  Tensor weights(const Graph& trained, const Tensor& conditions) const;
  /// The same, written into a graph that holds the parameters, such as a training step.
  ValueId write(Graph& graph, ValueId conditions) const;
  /// The same with a recurrent generator of more units, which generates exactly what `trained`
  /// does: what was there reads none of the new units yet. UserError for other generators, and for
  /// fewer units than there are.
  Hypernetwork grown(const Graph& trained, int64_t width) const;

 private:
  struct Target {
    std::string name;
    Shape shape;
    std::string generated;  ///< name of the value that takes its place
  };

  struct Scale {
    Tensor scale, offset;  ///< [total]: of what the generator gives
  };
  Hypernetwork(const Graph& network, HypernetworkSpec spec, uint64_t seed, const Scale* scale);
  void find_targets();
  void set_scale();
  void put_generator();
  ValueId write_raw(Graph& graph, ValueId conditions) const;
  /// Deviation of what the generator gives at first, over conditions and weights.
  double first_deviation() const;

  HypernetworkSpec spec_;
  uint64_t seed_;
  std::vector<Target> targets_;
  int64_t total_ = 0;
  Scale scale_;
  Graph network_, graph_;
};

/// Keeps what is generated for tasks learned before (von Oswald et al. 2020, arXiv:1906.00695,
/// equation 2): adds weight / tasks times the squared distance of all their generated weights from
/// what they were before this training.
class DriftPenalty : public TrainHook {
 public:
  /// `before` holds the values at the beginning, tasks 0 to `learned` - 1 are kept. The
  /// hypernetwork must outlive the hook.
  DriftPenalty(const Hypernetwork& network, const Graph& before, int64_t learned, double weight);
  void on_loss(StepGraph& step) override;

 private:
  const Hypernetwork& network_;
  Tensor tasks_, kept_;
  double weight_;
};

}  // namespace espalier

// Learning task after task in one network of fixed size: units are recruited from a reserve, what
// earlier tasks learned is held as strongly as a policy says, units that a task does not need go
// back (Ling & Bohn 2021, arXiv:2105.00157, "A deep learning framework for lifelong machine
// learning"). All of it is the strength with which each weight holds on to a value
// (train/consolidation.h):
//
//   weights of units in reserve          frozen at 0: they are not there
//   into units of the present task       free
//     from units of earlier tasks        `forward`, towards 0: what was learned may be used again
//   into units of earlier tasks          `old`, towards what they are
//     from units of the present task     frozen at 0: nothing new disturbs them
//   into results                         free; a task's results read them alone
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compress/axis_classes.h"
#include "train/consolidation.h"

namespace espalier {

struct LifelongPolicy {
  double old = kFrozen;
  double forward = 0;  ///< kFrozen: units learn from the network's inputs alone
  /// Of a task's share of the reserve (what is left, divided by the tasks to come), this part is
  /// recruited at first; as much again after each epoch that validates below `enough`.
  double at_first = 0.5;
  double enough = 0.98;
  /// Accuracy of validation that pruning may cost.
  double tolerance = 0.005;

  /// UserError for values that cannot be used.
  void check(const std::string& where) const;
};

/// The network with results "task0", "task1", … in the place of its own [N, tasks * classes]: those
/// of each task by themselves.
Graph with_task_results(const Graph& network, int64_t tasks);

/// Where units stand.
struct UnitCounts {
  int64_t reserve = 0;
  std::vector<int64_t> of_task;
};

class LifelongLearner {
 public:
  /// `network` as with_task_results gives it, for `tasks` tasks. UserError where it has no units
  /// that can be held apart, or statistics of batches, which mix all units.
  LifelongLearner(const Graph& network, const Shape& sample, int64_t tasks, LifelongPolicy policy,
                  uint64_t seed);
  ~LifelongLearner();

  /// Learns the next task: recruits, trains its result, prunes, consolidates. The optimiser must
  /// not decay weights.
  void learn(std::shared_ptr<const Dataset> train, std::shared_ptr<const Dataset> val,
             TrainOptions options);
  const Graph& network() const;
  UnitCounts units() const;
  int64_t learned() const;  ///< tasks

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier

// Training within a limit of memory (gradient checkpointing, rematerialisation): what the backward
// pass reads of the forward pass need not be kept, it can be computed again (Chen et al. 2016,
// arXiv:1604.06174, "Training deep nets with sublinear memory cost").
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "train/step.h"

namespace espalier {

/// A value of the forward pass that the backward pass reads.
struct SavedValue {
  std::string name;
  int64_t bytes = 0;
  double macs = 0;  ///< of the node that makes it, or makes what is only moved to be it
};
/// In the order in which they are made.
std::vector<SavedValue> saved_values(const StepGraph& step);

/// A value of the forward pass had from what was made of it: value = sum - term, both values of the
/// forward pass.
struct Inversion {
  std::string sum, term;
};

/// The step in which nothing of the forward pass lasts until the backward pass but the values
/// named: it computes what else it needs anew, from them and the step's inputs, shortly before it
/// first reads it. What the step computes is the same; what is drawn at random is drawn again
/// alike. Values of `inverted` (by name) are not computed as before but as it says, which rounds
/// otherwise; following it must lead to values that are kept.
StepGraph keeping(const StepGraph& step, const std::set<std::string>& values,
                  const std::map<std::string, Inversion>& inverted = {});

/// The step with so much of its forward pass computed again as costs it next to nothing, a fiftieth
/// of its multiply-accumulates as estimated: large values that few nodes without
/// multiply-accumulates make of what the backward pass reads as well (a normalisation and its
/// activation), those that save most for what they cost first. What it computes is the same.
StepGraph sparing(const StepGraph& step);

struct FittedStep {
  StepGraph step;
  StepMemory memory;
  int64_t before = 0;  ///< bytes in all without computing anything again
  int64_t again = 0;   ///< nodes that are computed again
  double extra = 0;    ///< multiply-accumulates done again, a share of those of the forward pass
};
/// The step that computes the least again, of those tried, whose planned memory (StepMemory::total)
/// is at most `bytes`. Tried are: to compute again what costs no multiply-accumulates and few
/// steps, the largest first; then to keep only what crosses the narrowest places at the ends of
/// stretches, of several lengths. UserError (infeasible) saying what the least is.
FittedStep within_memory(const StepGraph& step, int64_t bytes);

}  // namespace espalier

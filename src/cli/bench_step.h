// Timing a training step: which step, in which arithmetic.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier::cli {

struct StepArgs {
  std::string precision;          ///< f32, bf16 or auto; empty: no step is asked for
  std::string optimizer = "sgd";  ///< its kind
  std::string only;               ///< what is trained, as recipes say it; empty: all
  std::string frozen;  ///< float or int8: what is not trained; empty: as auto finds, else float

  void add_to(CLI::App& app);
  /// UserError(usage) for what does not go together.
  void check() const;
};

/// Forward, backward and optimiser as one graph.
struct TimedStep {
  Graph graph;
  std::map<std::string, Tensor> states;  ///< first values
  std::map<std::string, Tensor> given;   ///< inputs that are not random
  std::string precision;
};

/// The steps of a network on inputs of this shape among which auto chooses by time; one where the
/// arguments leave nothing open. Integers are calibrated on random numbers. UserError where the
/// network has no such step.
std::vector<TimedStep> training_steps(const StepArgs& args, const Graph& network,
                                      const Shape& input);

}  // namespace espalier::cli

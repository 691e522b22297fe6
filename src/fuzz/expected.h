// What a graph gives by reference, and how far rounding may move each element of it.
//
// The tolerance is measured, not guessed: the graph is run again with every computed result moved
// at random by a few roundings of its element type, of its own size or of the sum of magnitudes it
// was summed from, once each way; and so is the graph of the steps that its operators expand into.
// What an element moves by bounds what other kernels, other orders of summation and fused roundings
// may do to it; an element that turns into something else (a comparison that falls the other way,
// an index) is not compared.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier::fuzz {

struct Expected {
  std::vector<Tensor> outputs;
  /// How much each element may differ; infinite where it is not compared.
  std::vector<std::vector<double>> allowed;
};

/// UserError where the reference refuses the inputs; outputs must be tensors.
Expected expected(const Graph& graph, std::span<const Tensor> inputs);

/// "output 1, element 7 is 0.5, the reference gives 0.25 (0.0001 is allowed)"; nothing where all
/// is as expected. NaN must meet NaN and infinities themselves.
std::optional<std::string> difference(const Expected& want, std::span<const Tensor> got);

/// Why values of this graph are no good test, or nothing: a float that is not finite or huge, a
/// tensor of too many elements, a reference that refuses its operands, another failure of it (which
/// begins with "failed: ").
std::optional<std::string> unfit(const Graph& graph, std::span<const Tensor> inputs);

}  // namespace espalier::fuzz

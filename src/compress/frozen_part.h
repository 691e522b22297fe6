// The part of a network that comes before anything that is trained, on integers: training a part
// leaves it as it is and takes no gradient through it, so that it need not be in floats.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

struct FrozenOnIntegers {
  /// A QDQ network up to where the trained part begins; that part as it was, its parameters under
  /// their names.
  Graph network;
  int64_t layers = 0;         ///< of the frozen part, on integers
  int64_t in_floats = 0;      ///< and those that would cost too much accuracy
  double relative_error = 0;  ///< see OutputError, of all that the trained part reads
};

/// Quantises (see compress/quantize.h) what depends on none of the `trained` parameters and draws
/// nothing at random; what has no integer form there is in `floats`, f32 or bf16. Every other of
/// the batches of inputs calibrates, the error is measured on the rest; layers that cause most of
/// it stay in floats until it is at most `max_error`. UserError (unsupported) where no layer comes
/// before the trained ones, or none can be on integers.
FrozenOnIntegers frozen_on_integers(const Graph& network, const std::set<std::string>& trained,
                                    std::span<const std::vector<Tensor>> batches, double max_error,
                                    DType floats = DType::f32);

/// Whether any layer of the network comes before all that is trained and could be on integers.
bool has_frozen_layers(const Graph& network, const std::set<std::string>& trained);

}  // namespace espalier

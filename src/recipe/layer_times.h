// What networks of fixed shapes, and their layers, take on this machine.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "runtime/timing.h"

namespace espalier {

/// Inputs of a network's types, filled with a fixed pattern.
std::vector<Tensor> pattern_inputs(const Graph& graph);

/// Times the networks on such inputs at that many threads, alternating.
std::vector<Timing> time_fixed(std::span<const Graph> graphs, int threads, int rounds);

/// One contraction, as a network has it.
struct LayerFacts {
  std::string op, precision;  ///< precision: f32, bf16, int8 …
  double macs = 0, ms = 0;    ///< ms with what its kernel takes along; 0 inside another's kernel
  int64_t channels = 0;       ///< 0 without weights
};

enum class Contractions { kWithWeights, kAll };

/// The names of contractions in order; those of two activations on request. Nodes without a name
/// are left out.
std::vector<std::string> contraction_names(const Graph& graph,
                                           Contractions which = Contractions::kWithWeights);

/// What these contractions are in a network that may have other types than the one they were named
/// in; those it lacks are left out.
std::map<std::string, LayerFacts> layer_facts(const Graph& graph,
                                              const std::vector<std::string>& names, int threads);

}  // namespace espalier

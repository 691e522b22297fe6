// What can be said of a network without running it on data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier::cli {

struct NodeFacts {
  std::string name;
  std::string op;
  std::string output;  ///< type of the first result
  double macs = 0;     ///< multiply-accumulates
  double bytes = 0;    ///< memory a perfect kernel reads and writes
  int64_t params = 0;  ///< elements of the weights it reads, counted at their first reader
};

struct ModelFacts {
  int64_t params = 0;        ///< elements of parameters, and of integer weights
  int64_t weight_bytes = 0;  ///< of all constants
  double macs = 0;
  std::vector<NodeFacts> nodes;
};

/// `graph` must be static.
ModelFacts facts_of(const Graph& graph);

/// The arithmetic its weights ask for: "f32", "bf16", "f16", "int8" or "f64".
std::string precision_of(const Graph& graph);

}  // namespace espalier::cli

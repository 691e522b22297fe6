// Which parameters a run trains. The others are constants of its step: nothing is differentiated
// on their account, no moments are kept, and what can be computed from them is computed once
// (PockEngine, Zhu et al. 2023, arXiv:2310.17752, section 3.1: sparse backpropagation).
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// Parameters that meet every condition given.
struct Filter {
  /// By name, any of these; '*' stands for any letters, '?' for one. Empty: all.
  std::vector<std::string> names;
  std::vector<std::string> except;
  /// Vectors that are added and nothing else: their gradients read no activation.
  bool biases = false;
  /// Scales and shifts of normalisations, whatever they are called.
  bool norms = false;
  /// Those read first in the last so many layers; 0: all. A layer begins where a parameter of two
  /// axes or more is read first.
  int64_t last_layers = 0;

  bool operator==(const Filter&) const = default;
};

/// Parameters that meet any of the filters; none: all parameters.
using Selection = std::vector<Filter>;

/// Names of the network's Role::kParameter constants in its order.
std::vector<std::string> parameter_names(const Graph& network);
/// UserError for a pattern, or a filter, that selects nothing, with the names that are near.
std::set<std::string> selected_parameters(const Graph& network, const Selection& selection);

/// One place where a parameter is read, perhaps after nodes that read constants alone.
struct Reading {
  NodeId node = kNoNode;
  size_t slot = 0;
  /// What the node reads: the parameter, or what such nodes made of it.
  ValueId read = kNoValue;
};
std::vector<Reading> readings_of(const Graph& network, ValueId parameter);

/// Whether only normalisations read the parameter, beside what they normalise: in training form
/// their results do not change when their first operand is multiplied. A normalisation that is
/// spelled out as several operators is none.
bool is_of_normalization(const Graph& network, ValueId parameter);

/// Whether the parameter is a vector that is added to the result of every node that reads it.
bool is_bias(const Graph& network, ValueId parameter);

}  // namespace espalier

// What the constants of a network amount to.
#pragma once

#include <cstdint>

#include "ir/graph.h"

namespace espalier {

/// Elements of a value that were learned: those of a parameter, and the integers that quantisation
/// made of one. Not counted are running statistics, which follow from data, and the scales, zero
/// points, shapes and indices that go with the rest.
int64_t learned_elements(const Value& value);
/// The same of all constants.
int64_t parameter_count(const Graph& graph);
/// Bytes of all constants, whatever they are for: what a file of the network holds at least.
int64_t constant_bytes(const Graph& graph);

}  // namespace espalier

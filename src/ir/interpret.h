// The reference interpreter: runs a graph node by node with reference kernels. The oracle of every
// test, and the evaluator of constant folding.
#pragma once

#include <span>
#include <vector>

#include "ir/datum.h"
#include "ir/graph.h"

namespace espalier {

/// Outputs of `graph` for `inputs` given in the order of graph.inputs(). States are not fed back.
/// Throws UserError when an input does not fit its type or a node has no reference.
std::vector<Tensor> interpret(const Graph& graph, std::span<const Tensor> inputs);

/// The same for values of every kind.
std::vector<Datum> interpret_data(const Graph& graph, std::span<const Datum> inputs);
/// The same for a body in an operator's attributes: what its inputs are declared to be is not
/// looked at, for bodies are typed by what they are given.
std::vector<Datum> interpret_body(const Graph& body, std::span<const Datum> inputs);

/// UserError naming the input that does not fit its declared type.
void check_inputs(const Graph& graph, std::span<const Datum> inputs);

/// The graph with its float inputs, constants and results retyped to `dtype` and types inferred
/// again: the double-precision twin the gradient tests run.
Graph retyped_floats(const Graph& graph, DType dtype);

/// Types of all values inferred anew after input types or constants changed. With `fold`,
/// shape computations are evaluated; what is computed from weights stays (see the passes). Throws
/// UserError where types no longer fit.
void reinfer(Graph& graph, bool fold = false);

/// The graph for concrete input shapes: symbolic dimensions resolved, shape computations folded.
/// `shapes` in the order of graph.inputs(), which are tensors. Throws UserError naming an input
/// that does not fit.
Graph specialised(const Graph& graph, std::span<const Shape> shapes);
/// The graph for inputs of those types, whatever it declares: types inferred anew, shape
/// computations folded, bodies that stand for their node put in its place.
Graph with_input_types(const Graph& graph, std::span<const Type> types);

}  // namespace espalier

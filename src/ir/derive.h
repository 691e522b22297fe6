// Facets answered through expansion: the one place that turns `Derive` into an answer.
#pragma once

#include <span>

#include "ir/builder.h"

namespace espalier {

/// Appends a copy of `body` (constants and nodes) to the builder's graph, reading `operands` in
/// place of the body's inputs; returns what stands for the body's outputs.
Values splice(Builder& builder, const Graph& body, const Values& operands);

/// Whether result i of a splice is a value of its own, which may take another's name: made by a
/// node of the copy and given once. `first` is the first value the copy could have made.
bool is_own_result(const Graph& graph, const Values& results, size_t i, ValueId first);

/// Puts a splice's results in the places of values: their readers read the results, which take
/// their names where they may. `first` is the first value the splice could have made.
void take_places(Builder& builder, std::span<const ValueId> places, const Values& results,
                 ValueId first);

/// The node's expansion as a graph of its own: inputs are its non-constant operands, constants stay
/// constants. The room must have `expand`.
Graph expansion_of(const Graph& graph, NodeId node);

/// Cost of one execution, through the expansion where the room derives it. Of a node whose size
/// depends on data it is the bytes of what has a fixed size.
/// Throws UserError where the room refuses.
Cost cost_of(const Graph& graph, NodeId node);
/// Cost of all nodes.
Cost cost_of(const Graph& graph);

/// The body that is known to stand for a node (the branch of a condition that is known); null
/// where none is.
GraphRef body_in_place(const Room& room, const Attributes& attrs, const TypesIn& in);
/// Puts such bodies in the place of their nodes; returns how many.
int inline_bodies(Graph& graph);

/// Why a graph whose input shapes are given is not a straight line of tensors of fixed size: the
/// first node or input that prevents it, and how. Empty for straight lines.
std::string dynamics_of(const Graph& graph);
/// The refusal of what asks for a straight line.
UserError depends_on_data(const std::string& where, const std::string& dynamics);

/// Replaces a node by its expansion.
void expand_in_place(Graph& graph, NodeId node);

}  // namespace espalier

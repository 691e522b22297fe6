// The nodes that attention is spelled with, one by one.
#pragma once

#include <optional>

#include "ir/graph.h"
#include "kernels/quantise.h"

namespace espalier::bind {

bool is_named(const Graph& graph, NodeId node, const char* name);
NodeId producer(const Graph& graph, ValueId value);
/// The one number a value is known to be.
std::optional<double> number(const Graph& graph, ValueId value);

/// Whether the node is Softmax along the last axis.
bool is_last_softmax(const Graph& graph, NodeId node);
bool is_product(const Graph& graph, NodeId node);
/// The operand that a node multiplies or divides by a known number; kNoValue where it does not.
ValueId scaled_operand(const Graph& graph, NodeId node);
/// The operand through which a node (a mask, a scale, a choice) reads the product of queries and
/// keys; kNoValue where it does not, or is that product.
ValueId scores_operand(const Graph& graph, NodeId node);

/// How a QuantizeLinear or DequantizeLinear stores 8-bit integers, where its scale is one known
/// number.
std::optional<kernels::Quantised> stored_as(const Graph& graph, NodeId node);
/// Whether the node quantises so, and whether it dequantises so to f32.
bool stores(const Graph& graph, NodeId node);
bool reads_back(const Graph& graph, NodeId node);
/// What the node, a DequantizeLinear, reads back of a QuantizeLinear right before it, both storing
/// alike; kNoValue where it is not.
ValueId rounded_operand(const Graph& graph, NodeId node);

}  // namespace espalier::bind

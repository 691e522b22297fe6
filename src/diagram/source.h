// The source of a picture: a network written as columns of boxes and the wires between them. The
// picture shows what it says, and it reads back to the same graph.
//
//   diagram 1
//   graph "mlp"(%x: f32[N,784]) -> (%y)
//   store %w = parameter f32[10,784] external 1234567890
//   column 1
//     box 0: %y: f32[N,10] = Gemm(%x, %w) {transB = 1}  @"fc"
//       axis 784: 0.1 1.1 ->
//       axis N: 0.0 -> r0.0
//       axis 10: 1.0 -> r0.1
//
// Statements are those of the text form (ir/text.h). A box stands one column behind the last of its
// operands; its number is its place in the graph's order. Lines about axes (diagram/axes.h) follow
// from the rest and are checked when a source is read: a picture cannot say two things.
// A constant of more than 16 elements is kept as type and content mark, not as elements.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace espalier::diagram {

/// Constants by their content marks.
using Constants = std::map<int64_t, Tensor>;

/// A number from the bytes of a tensor: equal for equal bytes, different for others but by accident
/// (63 bits; no protection against intent).
int64_t content_mark(const Tensor& tensor);

/// `kept` receives the constants whose elements are left out. UserError (unsupported) where names
/// cannot be written.
std::string diagram_source(const Graph& graph, Constants* kept = nullptr);

/// The graph of a source. Constants whose elements were left out are taken from `kept`, or are
/// zeros where there is none. UserError with file:line for what does not read, or contradicts
/// itself.
Graph parse_diagram(std::string_view source, const std::string& file,
                    const Constants* kept = nullptr);

/// The column of each node, indexed by NodeId: 1 for those that read inputs and constants only.
std::vector<int> columns_of(const Graph& graph);

}  // namespace espalier::diagram

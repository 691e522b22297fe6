// The `.esp` text form: what people read and tests compare; it round-trips exactly.
//
//   graph "mlp"(%x: f32[N,784]) -> (%y) {
//     %w = parameter f32[10,784] b64"…"
//     %b = constant f32[10] [0, 0.5, …]
//     %y: f32[N,10] = Gemm(%x, %w, %b) {transB = 1}  @"fc"
//     state %in <- %out
//   }
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace espalier {

struct PrintOptions {
  /// Constants with more elements than this are printed as exact base64 bytes; fewer as numbers.
  int64_t max_literal = 16;
  /// Leave out large constants' bytes (`...`): for reading only, does not parse back.
  bool elide_large = false;
  /// Where the bytes of a constant above `max_literal` are kept elsewhere: the number printed for
  /// it, as in `f32[10,784] external 3`.
  std::function<int64_t(const Tensor&)> external;
};

/// Gives the constant that was printed as `external NUMBER`; throws UserError if there is none.
using ExternalConstants = std::function<Tensor(int64_t number, const TensorType& type)>;

std::string print(const Graph& graph, const PrintOptions& options = {});
/// Throws UserError with the line and column. Types written in the text are checked against
/// inference.
Graph parse_graph(std::string_view text, const std::string& file = "<text>",
                  ExternalConstants external = {});

}  // namespace espalier

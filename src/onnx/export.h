// Graphs into ONNX files: opset 17, IR version 8, checked before they are written.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "ir/graph.h"

namespace espalier {

struct ExportOptions {
  /// Weights of a model with more constant bytes than this go to a file beside it, `OUT.data`: a
  /// protobuf message cannot exceed 2 GB.
  size_t external_above = size_t{1900} << 20;
};

/// Writes `graph` to `path`, atomically. Operators that opset 17 lacks (our own, newer ones) are
/// replaced by what they expand to; UserError(unsupported) lists at once those that do not expand,
/// and says what the ONNX checker finds. UserError(bad input) where the file cannot be written.
void export_onnx(const Graph& graph, const std::filesystem::path& path,
                 const ExportOptions& options = {});

/// The bytes of such a file, weights inside.
std::string export_onnx_bytes(const Graph& graph);

/// `graph` in operators of opset 17 alone.
Graph in_standard_operators(const Graph& graph);

}  // namespace espalier

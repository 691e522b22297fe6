// Timing a network whose inputs change their shape from run to run.
#pragma once

#include <cstdint>
#include <string>

#include "cli/verb.h"
#include "ir/graph.h"
#include "runtime/program.h"

namespace espalier::cli {

/// "T=16:400:50": that many extents of the open dimension T, evenly spaced, in random order.
struct Stream {
  std::string dimension;
  int64_t first = 0, last = 0, count = 0;
};
/// UserError(usage) for anything else.
Stream parse_stream(const std::string& text);

/// Runs the stream through one Model, and the same work through a program for each extent; other
/// open first dimensions have `batch`.
ExitCode bench_stream(const std::string& model, const Graph& graph, const Stream& stream,
                      int64_t batch, const CompileOptions& options, double seconds,
                      const Common& common);

}  // namespace espalier::cli

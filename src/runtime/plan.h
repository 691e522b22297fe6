// The `.plan` artefact: an optimised graph whose weights lie 64-byte aligned in the same file, so
// that opening maps them instead of reading them and processes share their pages.
//
//   bytes 0..7    "ESPLAN1\n"
//   8..15         length of the graph text      16..23  FNV-1a of text and index
//   24..31        number of weights             32..39  length of the whole file
//   40..          index: offset and byte count of each weight (u64 each); then the text; then, each
//                 aligned to 64 bytes, the weights
// Numbers are little-endian. The text is the .esp form with `external N` for weight N.
#pragma once

#include <filesystem>

#include "ir/graph.h"

namespace espalier {

/// Writes the graph as it is (run passes first), atomically.
void save_plan(const Graph& graph, const std::filesystem::path& path);

/// The graph of a plan, its large constants mapped from the file. Throws UserError for anything
/// that is not a whole plan of this version; weights themselves are not read until used.
Graph load_plan(const std::filesystem::path& path);

}  // namespace espalier

// The `.plan` artefact: an optimised graph whose weights lie 64-byte aligned in the same file, as
// they are and in the forms that kernels want, so that opening maps them instead of reading or
// packing them and processes share their pages.
//
//   bytes 0..7    "ESPLAN2\n"
//   8..15         length of the graph text      16..23  FNV-1a of index, names and text
//   24..31        number of extents             32..39  length of the whole file
//   40..47        bytes of all names
//   48..          index, four u64 for each extent: offset, byte count, number of the weight (its
//                 own for the weight as it is), bytes of the form's name; then the names, one
//                 after the other; then the text; then, each aligned to 64 bytes, the extents
// Numbers are little-endian. The text is the .esp form with `external N` for weight N. Forms that
// a machine does not want are never read.
#pragma once

#include <filesystem>
#include <span>

#include "ir/graph.h"
#include "runtime/program.h"

namespace espalier {

/// Writes the graph as it is (run passes first), atomically. Weights are stored as well in the
/// forms that they take in programs compiled with each of `prepare`, open dimensions taken as 1;
/// where the graph cannot be compiled so (it depends on data), they are not.
void save_plan(const Graph& graph, const std::filesystem::path& path,
               std::span<const CompileOptions> prepare = {});

/// The graph of a plan, its large constants mapped from the file. Throws UserError for anything
/// that is not a whole plan of this version; weights themselves are not read until used.
Graph load_plan(const std::filesystem::path& path);

}  // namespace espalier

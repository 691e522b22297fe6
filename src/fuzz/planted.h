// Planted bugs: defects of compilers, as they are made, put between our passes and the graph they
// leave or between the graph and its kernels. Only who asks for a subject with one sees it; passes
// and kernels themselves are as they are.
//
// They find out whether a fuzzer finds bugs: a fuzzer of a correct compiler finds nothing, and so
// does one that is broken.
#pragma once

#include <span>
#include <string_view>

#include "fuzz/check.h"

namespace espalier::fuzz {

struct PlantedBug {
  std::string_view name;
  std::string_view description;
  /// The pass it follows; empty where it stands before the kernels.
  std::string_view pass;
  /// Spoils the graph that the pass left with that many rewrites; returns how often it did.
  int (*spoil)(Graph& graph, int changes);
  /// Shows only where passes run in another order, or others, than a compiler's.
  bool needs_order = false;
};

std::span<const PlantedBug> planted_bugs();
/// UserError(usage) listing those there are.
const PlantedBug& planted_bug(std::string_view name);

/// The compiler with that bug. `struck` counts how often it spoiled a graph, where given; it must
/// outlive the subject.
Subject with_bug(const PlantedBug& bug, int* struck = nullptr);

/// Whether the bug can be seen on this case, which shows nothing without it.
bool shows(const PlantedBug& bug, const Case& c);

}  // namespace espalier::fuzz

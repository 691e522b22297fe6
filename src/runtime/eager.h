// Running a network operator by operator, as eager frameworks do: each node compiled by itself into
// a program of its own, nothing fused, folded or planned across nodes, branches and loops decided
// by the host. The baseline that compiling whole networks is measured against.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "ir/datum.h"
#include "ir/graph.h"
#include "runtime/session.h"

namespace espalier {

class EagerProgram {
 public:
  /// `options` outlive the program.
  EagerProgram(Graph graph, const CompileOptions& options);
  ~EagerProgram();
  EagerProgram(EagerProgram&&) noexcept;

  /// Outputs for inputs in the order of the graph's. Programs of nodes are made when shapes are met
  /// first and kept.
  std::vector<Datum> run(std::span<const Datum> inputs);

 private:
  struct Step;
  Graph graph_;
  const CompileOptions& options_;
  std::vector<Step> steps_;
};

}  // namespace espalier

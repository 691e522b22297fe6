// Networks whose structure or sizes depend on data, on compiled programs.
//
// For each set of input shapes a graph is cut in three: what has fixed sizes now, compiled into one
// program; the nodes behind it that only the host can run (results whose size depends on data,
// sequences, operators with bodies); and the rest, whose sizes are known once those have run: a
// host program again, which keeps a cut for each set of shapes it meets. Bodies are host programs
// too. So what is compiled is straight lines, and the same shapes never compile again.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "ir/datum.h"
#include "ir/graph.h"
#include "runtime/program.h"

namespace espalier {

class HostProgram {
 public:
  /// Cuts kept for each graph and body; of more the one unused for longest goes.
  static constexpr size_t kMostCuts = 64;

  /// `compiled` counts the programs compiled here and in everything below; it and `options` outlive
  /// the host program.
  HostProgram(Graph graph, const CompileOptions& options, int& compiled);
  ~HostProgram();

  /// Outputs for inputs in the order of the graph's, which must fit it. Not to be called by two
  /// threads at once.
  std::vector<Datum> run(std::span<const Datum> inputs);

 private:
  struct Cut;
  class Cutter;
  Cut& cut_for(std::span<const Datum> inputs);

  Graph graph_;
  const CompileOptions& options_;
  int& compiled_;
  std::map<std::vector<Shape>, std::unique_ptr<Cut>> cuts_;
  uint64_t runs_ = 0;
};

}  // namespace espalier

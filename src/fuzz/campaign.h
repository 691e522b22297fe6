// A run of the fuzzer: cases grown and mutated, checked, kept where they showed something new of
// the compiler, and reduced where they showed a defect.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fuzz/check.h"
#include "fuzz/generate.h"

namespace espalier::fuzz {

struct CampaignOptions {
  uint64_t seed = 0;
  int64_t graphs = 1000;  ///< cases to check; 0: until `stop`
  GrowOptions grow;
  /// Cases are mutated ones of the pool, half of the time; else every case is grown anew.
  bool mutate_graphs = true;
  bool mutate_passes = true;
  /// The pool takes cases whose events were not seen before; else every fourth.
  bool guided = true;
  /// Passes of every case, in this order, never mutated; empty: the default ones to begin with.
  std::vector<std::string> passes;
  /// Every n-th case goes to ONNX and back too; 0: none.
  int64_t onnx_every = 4;
  Subject subject;
  /// Findings are reduced by at most so many checks; 0: as they were found.
  int reduction = 400;

  /// Asked before each case.
  std::function<bool()> stop;
  /// A case about to be checked: what is lost if the program does not survive it.
  std::function<void(const Case&)> before;
  /// A case that was checked.
  std::function<void(const Case&, const Outcome&)> after;
};

struct Found {
  Finding finding;
  Case original, reduced;
  int64_t at = 0;  ///< the case's number, from 0
};

struct CampaignResult {
  int64_t graphs = 0;   ///< cases checked
  int64_t skipped = 0;  ///< of these, no tests after all
  int64_t nodes = 0;    ///< in all cases
  size_t events = 0;    ///< of the compiler, different ones
  size_t pool = 0;
  Growth growth;
  std::vector<Found> found;  ///< one for each oracle and kind of message
};

/// The same options give the same cases, findings and counts, unless `stop` ends it.
CampaignResult run_campaign(Library& library, const CampaignOptions& options);

}  // namespace espalier::fuzz

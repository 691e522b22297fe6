// How good the fuzzer is: planted bugs found within a number of graphs, rules against what
// inference says. What the reproductions of NeuRI and Tzer count.
#pragma once

#include <string_view>
#include <vector>

#include "fuzz/campaign.h"
#include "fuzz/planted.h"

namespace espalier::fuzz {

/// What one way of fuzzing came to. A planted bug is found by the first case that shows something
/// with it and nothing without it.
struct Tally {
  int64_t graphs = 0, nodes = 0;
  int64_t attempts = 0, accepted = 0;   ///< operators tried; put into graphs
  int64_t joined = 0;                   ///< operands that took values of their graph
  size_t events = 0;                    ///< different things the compiler was seen to do
  int64_t own_findings = 0;             ///< cases that show something without a planted bug
  std::vector<std::string_view> found;  ///< planted bugs
};
/// Runs the campaign on our compiler and asks each of its cases for the bugs not yet found.
Tally tally(Library& library, CampaignOptions options, std::span<const PlantedBug> bugs);

/// NeuRI's question: graphs grown with inferred rules, and by rejection alone.
struct RulesComparison {
  Tally with_rules, without_rules;
  /// On uses that the rules were not inferred from, over every n-th form.
  RuleScore score;
};
RulesComparison compare_rules(uint64_t seed, int64_t graphs);

/// Tzer's question: graphs and passes mutated together by coverage, graphs alone, and both without
/// coverage.
struct JointComparison {
  Tally joint, graphs_only, unguided;
};
JointComparison compare_joint(uint64_t seed, int64_t graphs);

}  // namespace espalier::fuzz

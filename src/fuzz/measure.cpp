#include "fuzz/measure.h"

#include <algorithm>

namespace espalier::fuzz {
namespace {

/// Rules are scored on every so many forms: enough to tell, and a form costs milliseconds.
constexpr size_t kScoredEvery = 7;
constexpr int kScoreTrials = 60;

CampaignOptions plain(uint64_t seed, int64_t graphs) {
  CampaignOptions o;
  o.seed = seed;
  o.graphs = graphs;
  o.onnx_every = 0;
  o.reduction = 0;
  return o;
}

}  // namespace

Tally tally(Library& library, CampaignOptions options, std::span<const PlantedBug> bugs) {
  Tally t;
  options.after = [&](const Case& c, const Outcome& outcome) {
    t.own_findings += outcome.finding.has_value();
    if (outcome.finding || !outcome.skipped.empty()) return;
    for (const PlantedBug& bug : bugs)
      if (std::ranges::find(t.found, bug.name) == t.found.end() && shows(bug, c))
        t.found.push_back(bug.name);
  };
  const CampaignResult r = run_campaign(library, options);
  t.graphs = r.graphs;
  t.nodes = r.nodes;
  t.attempts = r.growth.attempts;
  t.accepted = r.growth.nodes;
  t.joined = r.growth.joined;
  t.events = r.events;
  return t;
}

RulesComparison compare_rules(uint64_t seed, int64_t graphs) {
  Library library;
  RulesComparison c;
  CampaignOptions o = plain(seed, graphs);
  o.mutate_graphs = o.mutate_passes = false;
  c.with_rules = tally(library, o, planted_bugs());
  o.grow.rules = false;
  c.without_rules = tally(library, o, planted_bugs());
  size_t number = 0;
  for (size_t op = 0; op < library.operators(); ++op)
    for (const Form& f : library.forms(op)) {
      if (number++ % kScoredEvery != 0) continue;
      const Rng unseen(seed + 1, stream_of("score " + f.room->full_name()));
      const RuleScore s = score(f, library.rules(f), kScoreTrials, unseen.fork(number));
      c.score.uses += s.uses;
      c.score.valid += s.valid;
      c.score.accepted += s.accepted;
      c.score.both += s.both;
    }
  return c;
}

JointComparison compare_joint(uint64_t seed, int64_t graphs) {
  Library library;
  JointComparison c;
  CampaignOptions o = plain(seed, graphs);
  c.joint = tally(library, o, planted_bugs());
  o.mutate_passes = false;
  c.graphs_only = tally(library, o, planted_bugs());
  o.mutate_passes = true;
  o.guided = false;
  c.unguided = tally(library, o, planted_bugs());
  return c;
}

}  // namespace espalier::fuzz

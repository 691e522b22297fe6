// NeuRI (Liu et al. 2023) and Tzer (Liu et al. 2022): whether what they add to a fuzzer finds more
// of the bugs planted in our compiler, in the same number of networks.
#include "reproduce/reproduce.h"

#include "fuzz/measure.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

std::string names_of(const fuzz::Tally& t) {
  std::string names;
  for (std::string_view name : t.found) names += (names.empty() ? "" : " ") + std::string(name);
  return names;
}

Json json_of(const fuzz::Tally& t) {
  return {{"networks", t.graphs},          {"planted_bugs", fuzz::planted_bugs().size()},
          {"found", t.found.size()},       {"which", names_of(t)},
          {"operators", t.nodes},          {"events", t.events},
          {"own_findings", t.own_findings}};
}

double percent(int64_t part, int64_t whole) {
  return whole > 0 ? 100 * double(part) / double(whole) : 0;
}

int64_t networks(Fields& recipe) { return recipe.integer("networks", 400, 1, 1000000); }

}  // namespace

Findings measure_fuzz_rules(Fields& recipe, const MeasureOptions& options) {
  const int64_t graphs = networks(recipe);
  recipe.done();
  const fuzz::RulesComparison c = fuzz::compare_rules(options.seed, graphs);
  const auto with_rates = [](const fuzz::Tally& t) {
    Json j = json_of(t);
    j["operators_accepted_percent"] = percent(t.accepted, t.attempts);
    j["operands_joined"] = t.joined;
    return j;
  };
  Findings f;
  f.measured = with_rates(c.with_rules);
  f.measured["rules_precision_percent"] = percent(c.score.both, c.score.accepted);
  f.measured["rules_recall_percent"] = percent(c.score.both, c.score.valid);
  f.baseline = with_rates(c.without_rules);
  f.holds = c.with_rules.found.size() > c.without_rules.found.size() &&
            c.with_rules.events > c.without_rules.events &&
            percent(c.with_rules.accepted, c.with_rules.attempts) >
                percent(c.without_rules.accepted, c.without_rules.attempts);
  return f;
}

Findings measure_fuzz_joint(Fields& recipe, const MeasureOptions& options) {
  const int64_t graphs = networks(recipe);
  recipe.done();
  const fuzz::JointComparison c = fuzz::compare_joint(options.seed, graphs);
  Findings f;
  f.measured = json_of(c.joint);
  f.baseline = json_of(c.graphs_only);
  f.baseline["found_without_coverage"] = c.unguided.found.size();
  f.baseline["events_without_coverage"] = c.unguided.events;
  f.holds = c.joint.found.size() > c.graphs_only.found.size() &&
            c.joint.found.size() > c.unguided.found.size() && c.joint.events > c.graphs_only.events;
  return f;
}

}  // namespace espalier

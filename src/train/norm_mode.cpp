#include "train/norm_mode.h"

#include <algorithm>

#include "base/error.h"
#include "base/suggest.h"
#include "ir/room.h"
#include "passes/fold_batch_norm.h"

namespace espalier {
namespace {

struct Norm {
  NodeId node = kNoNode;
  std::string name;    ///< of its first parameter, else of its first operand behind what it reads
  std::string result;  ///< name of what it gives
};

std::vector<Norm> norms_of(const Graph& g) {
  std::vector<Norm> found;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    const auto has = [&](ValueId v, Role role) { return v != kNoValue && g.value(v).role == role; };
    if (!n.room->with_mode ||
        std::ranges::none_of(n.inputs, [&](ValueId v) { return has(v, Role::kBuffer); }))
      continue;
    auto first =
        std::ranges::find_if(n.inputs, [&](ValueId v) { return has(v, Role::kParameter); });
    if (first == n.inputs.end()) first = n.inputs.begin() + 1;
    found.push_back({id, g.value(*first).name, g.value(n.outputs.at(0)).name});
  }
  return found;
}

bool follows(const NormRule& rule, const Norm& norm) {
  return rule.names.empty() || std::ranges::any_of(rule.names, [&](const std::string& p) {
           return matches_pattern(p, norm.name);
         });
}

bool folds(NormMode mode) { return mode == NormMode::kTune || mode == NormMode::kDeploy; }

void need_matches(const Graph& g, const NormRules& rules, const std::vector<Norm>& norms) {
  if (norms.empty())
    throw bad_input("batch_norm", g.name + " has no normalisation with running statistics",
                    "leave the key out");
  constexpr size_t kNamed = 5;
  std::vector<std::string> all;
  for (const Norm& n : norms) all.push_back(n.name);
  for (const NormRule& rule : rules)
    for (const std::string& pattern : rule.names) {
      if (std::ranges::any_of(all, [&](const auto& n) { return matches_pattern(pattern, n); }))
        continue;
      std::string near;
      for (const std::string& n : nearest_names(pattern, all, kNamed))
        near += (near.empty() ? "" : ", ") + n;
      throw bad_input("batch_norm", "'" + pattern + "' is the name of no normalisation's parameter",
                      "the nearest are " + near);
    }
}

}  // namespace

const std::vector<std::string>& norm_mode_names() {
  static const std::vector<std::string> names = {"train", "eval", "tune", "deploy"};
  return names;
}

std::string to_string(const NormRules& rules) {
  std::string text;
  for (const NormRule& rule : rules) {
    text += (text.empty() ? "" : ",") + norm_mode_names()[size_t(rule.mode)];
    if (rule.names.empty()) continue;
    std::string names;
    for (const std::string& n : rule.names) names += (names.empty() ? "" : "+") + n;
    text += "(" + names + ")";
  }
  return text;
}

std::map<std::string, NormMode> norm_modes(const Graph& g, const NormRules& rules,
                                           bool already_deployed) {
  std::map<std::string, NormMode> modes;
  if (rules.empty()) return modes;
  const std::vector<Norm> norms = norms_of(g);
  if (!already_deployed) need_matches(g, rules, norms);
  const passes::Readers readers(g);
  std::vector<int> followed(rules.size(), 0), folded(rules.size(), 0);
  for (const Norm& n : norms) {
    NormMode& mode = modes[n.result];
    const auto rule = std::ranges::find_if(rules, [&](const NormRule& r) { return follows(r, n); });
    if (rule == rules.end()) continue;
    mode = rule->mode;
    const auto at = size_t(rule - rules.begin());
    ++followed[at];
    if (!folds(mode)) continue;
    if (passes::foldable_in_training(g, readers, n.node))
      ++folded[at];
    else
      mode = NormMode::kEval;
  }
  for (size_t i = 0; i < rules.size() && !already_deployed; ++i) {
    const std::string rule = "the rule '" + to_string({rules[i]}) + "'";
    if (followed[i] == 0)
      throw bad_input("batch_norm", "no normalisation is left for " + rule,
                      "each follows the first rule that fits it");
    if (folds(rules[i].mode) && folded[i] == 0)
      throw bad_input(
          "batch_norm",
          "of " + rule + " none stands behind a contraction whose result it alone reads",
          "mode eval computes the same without one");
  }
  return modes;
}

bool deploys(const NormRules& rules) {
  return std::ranges::any_of(rules, [](const auto& r) { return r.mode == NormMode::kDeploy; });
}

Graph deployed(Graph g, const NormRules& rules) {
  if (!deploys(rules)) return g;
  const auto modes = norm_modes(g, rules);
  const auto chosen = [&](const Graph& now, NodeId id) {
    const auto it = modes.find(now.value(now.node(id).outputs.at(0)).name);
    return it != modes.end() && it->second == NormMode::kDeploy;
  };
  passes::fold_batch_norms(g, chosen);
  // The names they had are free again.
  constexpr std::string_view kFolded = "_folded";
  for (ValueId v : g.constants()) {
    const std::string name = g.value(v).name;
    if (!name.ends_with(kFolded)) continue;
    const std::string before = name.substr(0, name.size() - kFolded.size());
    if (g.find(before) == kNoValue) g.rename(v, before);
  }
  return g;
}

void tune_norms(Graph& g, const std::map<std::string, NormMode>& modes) {
  passes::fold_trained_batch_norms(g, [&](const Graph& now, NodeId id) {
    const auto it = modes.find(now.value(now.node(id).outputs.at(0)).name);
    return it != modes.end() && it->second == NormMode::kTune;
  });
}

}  // namespace espalier

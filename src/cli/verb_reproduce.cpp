// espalier reproduce: a published system measured on this machine, beside what its paper claims.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "recipe/systems.h"
#include "reproduce/reproduce.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct Args {
  std::string name;
};

/// A recipe by its path, or by the name or number of its system.
fs::path recipe_of(const std::string& name) {
  const fs::path path = name;
  return path.extension() == ".yaml" ? path : published_system(name).recipe;
}

void print_people(const Reproduction& r) {
  std::printf("%s%s%s\n  %s\n\nclaim     %s\nbaseline  %s\nbar       %s\n\n", r.id.c_str(),
              r.id.empty() ? "" : " ", r.system.c_str(), r.paper.c_str(), r.claim.c_str(),
              r.baseline.c_str(), r.bar.c_str());
  const auto shown = [](const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    return value.is_number_float() ? short_number(value) : value.dump();
  };
  const auto text = [&](const Json& map, const std::string& key) {
    return map.contains(key) ? shown(map[key]) : std::string();
  };
  // Sentences and lists stand below, where they widen no column.
  constexpr size_t kWidest = 24;
  Table table({"what", ">baseline", ">measured"});
  std::string below;
  const auto row = [&](const std::string& key) {
    const std::string baseline = text(r.found.baseline, key), own = text(r.found.measured, key);
    if (std::max(baseline.size(), own.size()) <= kWidest) return table.row({key, baseline, own});
    if (!baseline.empty()) below += key + " of the baseline: " + baseline + "\n";
    if (!own.empty()) below += key + ": " + own + "\n";
  };
  for (const auto& [key, value] : r.found.measured.items()) row(key);
  for (const auto& [key, value] : r.found.baseline.items())
    if (!r.found.measured.contains(key)) row(key);
  table.print();
  if (!below.empty()) std::printf("\n%s", below.c_str());
}

ExitCode run(const Args& args, const Common& common) {
  const fs::path path = recipe_of(args.name);
  const Yaml recipe = Yaml::load(path);
  const Reproduction r = reproduce(recipe, {.recipe = path, .seed = common.seed.value_or(0)});
  const std::string verdict = r.found.holds ? "holds" : "falls short";
  if (common.json) {
    print_json({{"id", r.id},
                {"system", r.system},
                {"paper", r.paper},
                {"claim", r.claim},
                {"baseline", {{"what", r.baseline}, {"measured", r.found.baseline}}},
                {"measured", r.found.measured},
                {"bar", r.bar},
                {"verdict", verdict},
                {"seconds", r.seconds}});
  } else {
    print_people(r);
    std::printf("\nverdict: %s (%s s)\n", verdict.c_str(), short_number(r.seconds, 3).c_str());
  }
  return r.found.holds ? ExitCode::kOk : ExitCode::kCheckFailed;
}

}  // namespace

Action reproduce_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  app.add_option("system", args->name, "A published system by name or number, or a recipe: .yaml")
      ->required()
      ->check(given("the name"))
      ->option_text("NAME");
  app.footer(
      "Examples:\n"
      "  espalier systems\n"
      "  espalier reproduce neural-circuit-diagrams\n"
      "  espalier reproduce 170 --json | jq .verdict\n"
      "The exit code is 1 where what was measured falls short of the bar.");
  return [args](const Common& common) { return run(*args, common); };
}

}  // namespace espalier::cli

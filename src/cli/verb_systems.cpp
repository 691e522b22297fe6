// espalier systems: the published systems that shipped recipes reproduce.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/verb.h"
#include "recipe/systems.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

ExitCode list_systems(const Common& common) {
  Json list = Json::array();
  Table table({"system", "family", "recipe", "paper"});
  for (const PublishedSystem& s : published_systems()) {
    const std::string recipe = s.recipe.string();
    list.push_back({{"name", s.name},
                    {"paper", s.paper},
                    {"family", s.family},
                    {"recipe", recipe},
                    {"id", s.id}});
    table.row({s.name, s.family, recipe, s.paper});
  }
  if (common.json)
    print_json(list);
  else if (list.empty())
    std::printf("no recipe reproduces a system yet\n");
  else
    table.print();
  return ExitCode::kOk;
}

}  // namespace

Action systems_verb(CLI::App& app) {
  app.footer(
      "Examples:\n"
      "  espalier systems\n"
      "  espalier systems --json | jq '.[].name'");
  return list_systems;
}

}  // namespace espalier::cli

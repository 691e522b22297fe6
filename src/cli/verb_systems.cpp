// espalier systems: the published systems that shipped recipes reproduce.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "recipe/blueprint.h"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct System {
  std::string name, paper, family, recipe;
};

std::string text_of(const Yaml& map, const char* key) {
  const Yaml* value = map.find(key);
  return value && value->is_scalar() ? value->text() : "";
}

/// The system a recipe reproduces, if it says so. Its family is its folder.
std::optional<System> system_of(const fs::path& recipe) {
  const Yaml file = Yaml::load(recipe);
  const Yaml* claim = file.is_map() ? file.find("reproduces") : nullptr;
  if (!claim || !claim->is_map()) return std::nullopt;
  return System{text_of(*claim, "system"), text_of(*claim, "paper"),
                recipe.parent_path().filename().string(), recipe.string()};
}

/// From the first folder there is: installed recipes hide nothing behind them.
std::vector<System> all_systems() {
  std::vector<System> systems;
  std::error_code ignored;
  for (const fs::path& folder : recipe_folders()) {
    if (!fs::is_directory(folder, ignored)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) {
      if (entry.path().extension() != ".yaml") continue;
      try {
        if (auto system = system_of(entry.path())) systems.push_back(std::move(*system));
      } catch (const UserError& e) {
        log_warning(std::string("left out: ") + e.what());
      }
    }
    break;
  }
  std::sort(systems.begin(), systems.end(),
            [](const System& a, const System& b) { return a.name < b.name; });
  return systems;
}

ExitCode list_systems(const Common& common) {
  Json list = Json::array();
  Table table({"system", "family", "recipe", "paper"});
  for (const System& s : all_systems()) {
    list.push_back(
        {{"name", s.name}, {"paper", s.paper}, {"family", s.family}, {"recipe", s.recipe}});
    table.row({s.name, s.family, s.recipe, s.paper});
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

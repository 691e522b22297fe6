#include "recipe/systems.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "recipe/blueprint.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::string text_of(const Yaml& map, const char* key) {
  const Yaml* value = map.find(key);
  return value && value->is_scalar() ? value->text() : "";
}

/// The system a recipe reproduces, if it says so.
std::optional<PublishedSystem> system_of(const fs::path& recipe) {
  const Yaml file = Yaml::load(recipe);
  const Yaml* claim = file.is_map() ? file.find("reproduces") : nullptr;
  if (!claim || !claim->is_map()) return std::nullopt;
  return PublishedSystem{text_of(*claim, "id"), text_of(*claim, "system"), text_of(*claim, "paper"),
                         recipe.parent_path().filename().string(), recipe};
}

}  // namespace

std::vector<PublishedSystem> published_systems() {
  std::vector<PublishedSystem> systems;
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
  std::ranges::sort(systems, {}, &PublishedSystem::name);
  return systems;
}

PublishedSystem published_system(const std::string& name) {
  const std::vector<PublishedSystem> systems = published_systems();
  std::vector<std::string> known;
  for (const PublishedSystem& s : systems) {
    if (s.name == name || (!s.id.empty() && s.id == name)) return s;
    known.push_back(s.name);
  }
  throw bad_input("system '" + name + "'", "no recipe reproduces it",
                  known.empty() ? "no recipes were found; set ESPALIER_RECIPES to their folder"
                                : suggestion(name, known) + "; espalier systems lists them");
}

}  // namespace espalier

#include "data/locate.h"

#include <cstdlib>
#include <system_error>
#include <vector>

#include "base/error.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// What cannot be looked at (a folder without permission) is not absent: opening it says more.
bool absent(const fs::path& path) {
  std::error_code ignored;
  return fs::status(path, ignored).type() == fs::file_type::not_found;
}

const char* chosen_folder() {
  const char* chosen = std::getenv("ESPALIER_DATA");
  return chosen && *chosen ? chosen : nullptr;
}

}  // namespace

std::string locate_data(const std::string& path, const fs::path& recipe) {
  if (!absent(path)) return path;
  if (fs::path(path).is_absolute()) throw bad_input(path, "does not exist");
  std::vector<fs::path> folders;
  std::string places = "looked for in the current folder";
  std::error_code ignored;
  const fs::path beside = recipe.empty() ? fs::path() : fs::absolute(recipe, ignored).parent_path();
  if (!beside.empty()) {
    folders.push_back(beside);
    places += ", beside the recipe";
  }
  if (const char* chosen = chosen_folder()) {
    folders.emplace_back(chosen);
    places += std::string(", in ESPALIER_DATA (") + chosen + ")";
  }
  if (!beside.empty()) places += ", in shared/data beside the folders above it";
  for (fs::path at = beside; !at.empty(); at = at.parent_path()) {
    folders.push_back(at / "shared/data");
    if (at == at.root_path()) break;
  }
  for (const fs::path& folder : folders)
    if (!absent(folder / path)) return (folder / path).lexically_normal().string();
  throw bad_input(path, "does not exist",
                  places + (chosen_folder() ? "" : "; ESPALIER_DATA may name a further folder"));
}

}  // namespace espalier

#include "recipe/blueprint.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/error.h"
#include "recipe/blocks.h"

namespace espalier {
namespace {

constexpr int64_t kVersion = 1;

/// An extent: a number, or a name for one known only when the network runs.
Dim parse_dim(const Yaml& v) {
  int64_t n = 0;
  const std::string& t = v.text();
  const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), n);
  if (error == std::errc() && end == t.data() + t.size()) {
    if (n < 1) v.fail("an extent is " + t + ", it must be at least 1");
    return Dim(n);
  }
  if (t.empty() || std::isdigit(static_cast<unsigned char>(t[0])) || t[0] == '-')
    v.fail("'" + t + "' is neither an extent nor a name");
  return Dim::symbol(t);
}

ValueId add_input(Graph& g, const Yaml& input) {
  Fields fields(input, "input");
  const std::string name = fields.string("name", "input");
  Dims dims;
  for (const Yaml& d : fields.require("shape").items()) dims.push_back(parse_dim(d));
  const bool tokens = fields.choice("type", 0, {"f32", "i64"}) == 1;
  fields.done();
  return g.add_input(name, TensorType(tokens ? DType::i64 : DType::f32, dims));
}

Variables read_variables(const Yaml* declared, const Yaml& definition,
                         const std::map<std::string, std::string>& given) {
  Variables variables;
  std::vector<std::string> known;
  if (declared)
    for (const auto& [name, value] : declared->entries()) {
      variables[name.text()] = value.text();
      known.push_back(name.text());
    }
  for (const auto& [name, value] : given) {
    if (!variables.contains(name))
      throw bad_input(definition.file(), "declares no variable '" + name + "'",
                      known.empty() ? "it declares none" : suggestion(name, known));
    variables[name] = value;
  }
  return variables;
}

}  // namespace

Graph build_blueprint(const Yaml& definition, const BlueprintOptions& options) {
  Fields fields(definition, "a network definition");
  if (definition.is_map() && definition.find("task"))
    definition.fail("is a recipe, not a network definition",
                    "espalier fit and espalier train take recipes");
  if (const Yaml& version = fields.require("espalier"); version.integer() != kVersion)
    version.fail("is written for format " + version.text() + ", this program reads format " +
                 std::to_string(kVersion));
  Graph g;
  g.name = fields.require_string("name");
  fields.find("source");
  const Variables variables =
      read_variables(fields.find("variables"), definition, options.variables);
  const Yaml input = BlockBuilder::substituted(fields.require("input"), variables);
  const ValueId x = add_input(g, input);
  const Yaml& body = fields.require("body");
  fields.done();
  BlockBuilder builder(g, options.seed, options.deviations);
  const ValueId y = builder.body(body, x, {"", variables});
  if (y == x) body.fail("the body has no blocks");
  if (g.find("output") == kNoValue) g.rename(y, "output");
  g.add_output(y);
  return g;
}

Graph load_blueprint(const std::filesystem::path& path, const BlueprintOptions& options) {
  return build_blueprint(Yaml::load(path), options);
}

namespace fs = std::filesystem;

std::vector<fs::path> recipe_folders(const fs::path& recipe) {
  std::vector<fs::path> folders;
  if (const char* chosen = std::getenv("ESPALIER_RECIPES"); chosen && *chosen)
    folders.emplace_back(chosen);
  std::error_code ignored;
  if (!recipe.empty()) {
    const fs::path own = fs::absolute(recipe, ignored).parent_path();
    folders.push_back(own.parent_path());
    folders.push_back(own);
  }
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  folders.push_back(program.parent_path() / "../share/espalier/recipes");
  for (fs::path start : {program.parent_path(), fs::current_path(ignored)})
    for (; !start.empty(); start = start.parent_path()) {
      folders.push_back(start / "recipes");
      if (start == start.root_path()) break;
    }
  return folders;
}

fs::path zoo_path(const std::string& name, const fs::path& recipe) {
  std::vector<std::string> known;
  std::error_code ignored;
  for (const fs::path& folder : recipe_folders(recipe)) {
    const fs::path zoo = folder / "zoo";
    if (!fs::is_directory(zoo, ignored)) continue;
    if (fs::path file = zoo / (name + ".yaml"); fs::is_regular_file(file, ignored))
      return file.lexically_normal();
    for (const auto& entry : fs::directory_iterator(zoo, ignored))
      if (entry.path().extension() == ".yaml") known.push_back(entry.path().stem().string());
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  throw bad_input("network '" + name + "'", "there is no such definition",
                  known.empty() ? "no recipes were found; set ESPALIER_RECIPES to their folder"
                                : suggestion(name, known));
}

}  // namespace espalier

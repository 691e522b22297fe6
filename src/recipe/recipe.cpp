#include "recipe/recipe.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "data/locate.h"
#include "data/source.h"
#include "passes/fuse_region.h"
#include "passes/open_batch.h"
#include "passes/passes.h"
#include "recipe/at_line.h"
#include "recipe/blueprint.h"
#include "recipe/network_file.h"
#include "recipe/quantity.h"
#include "recipe/schedule_part.h"
#include "recipe/storage_part.h"
#include "recipe/weights.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kVersion = 1;

/// `path` as a recipe in `file` means it: from here, or from beside the recipe.
fs::path beside(const std::string& path, const Yaml& place) {
  std::error_code ignored;
  if (fs::path(path).is_absolute() || fs::exists(path, ignored)) return path;
  const fs::path near = fs::path(place.file()).parent_path() / path;
  return fs::exists(near, ignored) ? near : fs::path(path);
}

/// A name that may become a file's.
std::string read_name(const Yaml& name) {
  const std::string& text = name.text();
  const bool letters = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == '-';
  });
  if (text.empty() || !letters || text.starts_with('.'))
    name.fail("'" + text + "' is no name for a run",
              "a name is made of letters, digits, '.', '_' and '-', and does not begin with '.'");
  return text;
}

/// Variables a definition declares and `given` does not set, as the data has them.
void add_data_facts(const Yaml& definition, const Dataset& data,
                    std::map<std::string, std::string>& given) {
  const Yaml* declared = definition.find("variables");
  if (!declared) return;
  const auto set = [&](const char* name, int64_t value) {
    if (value > 0 && declared->find(name)) given.try_emplace(name, std::to_string(value));
  };
  const PictureShape picture = data.picture_shape();
  set("classes", data.classes());
  if (data.input_type() == DType::i64) {
    set("vocabulary", data.classes());
    set("context", data.sample_shape()[0]);
  }
  set("channels", picture.channels);
  if (picture.height == picture.width) set("size", picture.height);
  const Shape& volume = data.sample_shape();  // [channels, depth, height, width]
  if (volume.size() != 4) return;
  set("channels", volume[0]);
  if (volume[1] == volume[2] && volume[2] == volume[3]) set("size", volume[1]);
}

/// A network as a file has it, its batch open, its regions apart and its parameters as they are
/// read: what training, cuts and data sets need.
Graph for_training(Graph g) {
  passes::expand_regions(g);
  g = with_open_batch(g);
  run_passes(g, {}, std::vector<std::string>{"fold_parameters"});
  return g.compacted();
}

}  // namespace

bool ModelPart::is_untrained() const { return is_definition_file(path) && weights.empty(); }

Graph ModelPart::build(uint64_t seed, const Dataset* data,
                       std::map<std::string, double>* deviations) const {
  const auto weighed = [&](Graph g) {
    if (!weights.empty()) load_weights(g, weights);
    return g;
  };
  if (!is_definition_file(path)) return for_training(weighed(read_network(path)));
  const Yaml definition = Yaml::load(path);
  BlueprintOptions options{seed, variables, deviations};
  if (data) add_data_facts(definition, *data, options.variables);
  return weighed(build_blueprint(definition, options));
}

ModelPart model_from_file(const std::string& path) {
  if (path.empty()) throw usage_error("the network", "has an empty file name");
  if (!is_definition_file(path) && !is_network_file(path))
    throw usage_error(path, "has a suffix that names no network format", kNetworkFormats);
  return {path, "file " + path, {}, {}};
}

std::map<std::string, std::string> read_variables(const Yaml& part, const fs::path& path) {
  std::map<std::string, std::string> variables;
  const Yaml definition = Yaml::load(path);
  const Yaml* declared = definition.is_map() ? definition.find("variables") : nullptr;
  std::vector<std::string> known;
  if (declared)
    for (const auto& [name, value] : declared->entries()) known.push_back(name.text());
  for (const auto& [name, value] : part.entries()) {
    if (std::find(known.begin(), known.end(), name.text()) == known.end())
      name.fail(path.string() + " declares no variable '" + name.text() + "'",
                known.empty() ? "it declares none" : suggestion(name.text(), known));
    variables[name.text()] = value.text();
  }
  return variables;
}

ModelPart read_model(const Yaml& part) {
  Fields fields(part, "model");
  const Yaml* zoo = fields.find("zoo");
  const Yaml* definition = fields.find("definition");
  const Yaml* file = fields.find("file");
  if (int(zoo != nullptr) + int(definition != nullptr) + int(file != nullptr) != 1)
    part.fail("model needs one of zoo, definition and file");
  ModelPart model;
  if (zoo) {
    model.path = at_line(*zoo, [&] { return zoo_path(zoo->text(), zoo->file()); });
    model.text = "zoo " + zoo->text();
  } else {
    const Yaml& given = definition ? *definition : *file;
    model = at_line(given, [&] { return model_from_file(beside(given.text(), given).string()); });
    model.text = (definition ? "definition " : "file ") + given.text();
  }
  if (const Yaml* variables = file ? nullptr : fields.find("variables"))
    model.variables = read_variables(*variables, model.path);
  if (const Yaml* weights = fields.find("weights")) {
    model.weights = beside(weights->text(), *weights);
    at_line(*weights, [&] { check_weights_file(model.weights); });
    model.text += ", weights " + weights->text();
  }
  fields.done();
  return model;
}

namespace {

/// Whether data of that spec can be had: it is generated, or its path leads somewhere.
bool is_here(const Yaml& part) {
  try {
    read_data(part);
    return true;
  } catch (const UserError& e) {
    // Whatever else is wrong with it shall be told.
    if (e.problem() == "does not exist") return false;
    throw;
  }
}

}  // namespace

DataSpec read_data(const Yaml& part) {
  if (part.is_list()) {
    if (part.items().empty()) part.fail("data is an empty list");
    for (const Yaml& choice : part.items())
      if (&choice == &part.items().back() || is_here(choice)) return read_data(choice);
  }
  DataSpec spec;
  const Yaml* path_at = &part;
  if (part.is_scalar()) {
    spec = at_line(part, [&] { return DataSpec::parse(part.text()); });
  } else {
    Fields fields(part, "data");
    const Yaml& kind = fields.require("kind");
    const std::string path = fields.string("path", "");
    if (const Yaml* given = part.find("path")) path_at = given;
    spec = at_line(kind, [&] { return DataSpec::parse(kind.text() + ":" + path); });
    for (const auto& [key, value] : part.entries())
      if (key.text() != "kind" && key.text() != "path")
        at_line(value, [&, k = key.text(), v = value.text()] { spec.set(k, v); });
  }
  for (const DataKey& key : find_data_kind(spec.kind).keys)
    if (const auto value = spec.extra.find(key.name); key.names_file && value != spec.extra.end())
      value->second = beside(value->second, part).string();
  if (!find_data_kind(spec.kind).generated)
    spec.path = at_line(*path_at, [&] { return locate_data(spec.path, part.file()); });
  return spec;
}

namespace {

/// Those of a unit's settings that are given.
void read_settings(Fields& fields, std::span<const Setting> known,
                   std::map<std::string, double>& settings) {
  const auto before = all_settings(known, settings);
  for (const Setting& s : known) {
    if (!fields.find(s.name)) continue;
    const double old = before.at(s.name);
    if (!s.words.empty())
      settings[s.name] =
          double(fields.choice(s.name, size_t(old), {s.words.begin(), s.words.end()}));
    else if (s.flag)
      settings[s.name] = double(fields.boolean(s.name, old != 0));
    else if (s.whole)
      settings[s.name] =
          double(fields.integer(s.name, int64_t(old), int64_t(s.least), int64_t(s.most)));
    else
      settings[s.name] = fields.number(s.name, old, s.least, s.most);
  }
}

}  // namespace

Optimizer read_optimizer(const Yaml& part, Optimizer o) {
  Fields fields(part, "optimizer");
  const std::vector<std::string> names = optimizer_names();
  const auto now = std::find(names.begin(), names.end(), o.kind) - names.begin();
  const std::string& kind = names[fields.choice("kind", size_t(now), names)];
  if (kind != o.kind) o.settings.clear();
  o.kind = kind;
  o.weight_decay = fields.number("weight_decay", o.weight_decay, 0);
  if (const Yaml* states = fields.find("states")) o.states = read_states(*states);
  read_settings(fields, o.unit().settings, o.settings);
  fields.done();
  return o;
}

Rule read_rule(const Yaml& part) {
  Rule rule;
  if (part.is_scalar()) {
    rule.kind = part.text();
    at_line(part, [&] { find_rule(rule.kind); });
    return rule;
  }
  Fields fields(part, "rule");
  const std::vector<std::string> names = rule_names();
  fields.require("kind");
  rule.kind = names[fields.choice("kind", 0, names)];
  read_settings(fields, rule.unit().settings, rule.settings);
  fields.done();
  return rule;
}

TrainOptions read_training(const Yaml& part, TrainOptions o, int64_t least_epochs,
                           TrainedPart* trained,
                           std::optional<ParametrizationPart>* parametrization,
                           std::optional<VCyclePart>* v_cycle,
                           std::optional<IncubationPart>* incubation) {
  Fields fields(part, "training");
  if (trained) {
    *trained = read_trained_part(fields);
    if (const Yaml* norms = fields.find("batch_norm")) o.norms = read_norm_rules(*norms);
  }
  const Yaml* by_width = parametrization ? fields.find("parametrization") : nullptr;
  const Yaml* cycle = v_cycle ? fields.find("v_cycle") : nullptr;
  const Yaml* hatched = incubation ? fields.find("incubation") : nullptr;
  constexpr int64_t kMany = 1'000'000'000;
  o.epochs = fields.integer("epochs", o.epochs, least_epochs, kMany);
  o.batch = fields.integer("batch", o.batch, 1, kMany);
  o.epoch_steps = fields.integer("epoch_steps", o.epoch_steps, 0, kMany);
  o.eval_batch = fields.integer("eval_batch", o.eval_batch, 1, kMany);
  o.precision = fields.choice("precision", o.precision == DType::bf16, {"f32", "bf16"}) == 1
                    ? DType::bf16
                    : DType::f32;
  o.loss = Loss(fields.choice("loss", size_t(o.loss), {"cross_entropy", "mean_squared"}));
  o.label_smoothing = fields.number("label_smoothing", o.label_smoothing, 0, 0.999);
  if (const Yaml* rho = fields.find("rho")) {
    o.rho = fields.number("rho", 0, 0);
    if (o.loss != Loss::kCrossEntropy) rho->fail("rho is of the loss cross_entropy");
    if (o.label_smoothing > 0) rho->fail("rho and label_smoothing do not go together");
  }
  o.clip_norm = fields.number("clip_norm", o.clip_norm, 0);
  o.output = fields.string("output", o.output);
  if (const Yaml* memory = fields.find("memory"))
    o.memory =
        at_line(*memory, [&] { return int64_t(quantity("memory", memory->text(), byte_units())); });
  o.reversible = fields.boolean("reversible", o.reversible);
  if (const Yaml* saved = fields.find("saved_activations"))
    o.saved_activations = read_saved_activations(*saved);
  o.log_every = fields.integer("log_every", o.log_every, 0, kMany);
  o.save_every = fields.integer("save_every", o.save_every, 0, kMany);
  if (const Yaml* augment = fields.find("augment"))
    o.augment = at_line(*augment, [&] { return Augment::parse(augment->text()); });
  if (const Yaml* optimizer = fields.find("optimizer"))
    o.optimizer = read_optimizer(*optimizer, o.optimizer);
  if (const Yaml* rule = fields.find("rule")) o.rule = read_rule(*rule);
  if (const Yaml* schedule = fields.find("schedule"))
    o.schedule = read_schedule(*schedule, o.schedule);
  fields.done();
  if (by_width) *parametrization = read_parametrization(*by_width, o.optimizer);
  if (trained) check_together(*trained, o, by_width);
  if (cycle) *v_cycle = read_v_cycle(*cycle);
  if (hatched) *incubation = read_incubation(*hatched);
  // They name parameters and normalisations of one network.
  const bool others = by_width || (trained && !trained->everything()) || !o.norms.empty();
  constexpr const char* kOthers = "only, adapt, generate, batch_norm and parametrization";
  if (cycle && others) cycle->fail(std::string("v_cycle does not go together with ") + kOthers);
  if (hatched && (others || cycle))
    hatched->fail(std::string("incubation does not go together with v_cycle, ") + kOthers);
  return o;
}

namespace {

/// The tasks a recipe can have; each is a verb.
const std::vector<std::string> kTasks = {"train", "fit"};

/// What is no recipe at all is told from one with a mistake.
void check_is_recipe(const fs::path& path) {
  if (is_definition_file(path)) return;
  const bool network = is_network_file(path);
  throw usage_error(path.empty() ? "the recipe" : path.string(),
                    path.empty() ? "has an empty file name"
                    : network    ? "is a network, not a recipe"
                                 : "is no recipe: it does not end in .yaml",
                    network ? "espalier fit " + path.string() +
                                  " --data SPEC --budget TERMS takes it as it is; a recipe names "
                                  "it as model: {file: " +
                                  path.filename().string() + "}"
                            : "recipes/train and recipes/fit hold examples");
}

}  // namespace

Yaml load_recipe(const fs::path& path, const std::string& task) {
  check_is_recipe(path);
  Yaml recipe = Yaml::load(path);
  Fields fields(recipe, "a recipe");
  if (recipe.is_map() && recipe.find("body") && !recipe.find("task"))
    throw bad_input(path.string(), "is a network definition, not a recipe",
                    "a recipe names it as model: {definition: " + path.filename().string() +
                        "}; espalier fit takes it with --data, --budget and --train-epochs");
  if (const Yaml& version = fields.require("espalier"); version.integer() != kVersion)
    version.fail("is written for format " + version.text() + ", this program reads format " +
                 std::to_string(kVersion));
  const Yaml& given = fields.require("task");
  if (std::find(kTasks.begin(), kTasks.end(), given.text()) == kTasks.end())
    given.fail("there is no task '" + given.text() + "'", suggestion(given.text(), kTasks));
  if (given.text() != task)
    given.fail("this recipe is for the task '" + given.text() + "', not '" + task + "'",
               "use espalier " + given.text());
  return recipe;
}

void set_recipe_value(Yaml& recipe, const std::string& assignment, const std::string& option) {
  const std::string where = option.empty() ? "--set " + assignment : option;
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    throw usage_error(where, "is no assignment", "write --set training.epochs=3");
  std::string path = assignment.substr(0, equals);
  const Yaml value = Yaml::argument(assignment.substr(equals + 1), where, recipe);
  Yaml* at = &recipe;
  for (size_t dot; (dot = path.find('.')) != std::string::npos; path = path.substr(dot + 1)) {
    const std::string key = path.substr(0, dot);
    if (!at->is_map()) throw usage_error(where, "there are no keys below '" + key + "'");
    if (!at->find(key)) at->set(key, Yaml::empty_map(value));
    for (auto& [k, v] : at->entries())
      if (k.text() == key) {
        at = &v;
        break;
      }
  }
  if (!at->is_map()) throw usage_error(where, "the recipe has no keys there");
  at->set(path, value);
}

TrainRecipe read_train_recipe(const Yaml& recipe, RecipeParts parts) {
  Fields fields(recipe, "a recipe");
  fields.require("espalier");
  fields.require("task");
  TrainRecipe r;
  r.name = read_name(fields.require("name"));
  const int64_t seed = fields.integer("seed", 0, 0);
  const Yaml &model = fields.require("model"), &data = fields.require("data");
  if (parts == RecipeParts::kAll) {
    r.model = read_model(model);
    r.data = read_data(data);
  }
  const Yaml nothing = Yaml::empty_map(recipe);
  const Yaml* training = fields.find("training");
  r.training = read_training(training ? *training : nothing, {}, 1, &r.trained, &r.parametrization,
                             &r.v_cycle, &r.incubation);
  r.training.seed = uint64_t(seed);
  r.training.name = r.name;
  fields.done();
  r.source = recipe;
  return r;
}

}  // namespace espalier

// espalier coordcheck: whether training depends on a network's width.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/suggest.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "data/source.h"
#include "recipe/coordinate_check.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  std::string recipe;
  std::vector<std::string> kinds, assignments;
  std::vector<int64_t> multiples = {1, 2, 4};
  std::vector<double> rates;
  int64_t steps = 4, seeds = 1;
};

struct Checked {
  CoordinateCheck coordinates;
  std::vector<WidthSweep> sweeps;
};

WidthFamily family_of(const TrainRecipe& recipe) {
  if (!recipe.parametrization)
    throw bad_input(recipe.source.file(), "says nothing of a parametrisation",
                    "training.parametrization: {kind: mup, base: {width: 32}} names the variables "
                    "that make the network wider");
  if (!recipe.trained.everything())
    throw bad_input(recipe.trained.place.where(), "trains a part of the network",
                    "coordcheck compares networks trained as a whole");
  const DataSource source(recipe.data);
  return {recipe.model, *recipe.parametrization, recipe.training, source.split(Split::train),
          source.split(Split::val)};
}

/// What a slope says at a glance.
const char* word_for(double slope) {
  constexpr double kFlat = 0.25;
  return slope > kFlat ? "grows" : slope < -kFlat ? "vanishes" : "flat";
}

Json to_json(const Checked& c, const std::vector<double>& rates) {
  Json layers = Json::array(), sweeps = Json::array();
  for (const LayerChange& l : c.coordinates.layers)
    layers.push_back({{"layer", l.layer}, {"change", l.change}, {"slope", l.slope}});
  for (const WidthSweep& s : c.sweeps) {
    Json losses = Json::array();
    for (double l : s.loss) losses.push_back(std::isfinite(l) ? Json(l) : Json(nullptr));
    sweeps.push_back({{"width", s.width},
                      {"rates", rates},
                      {"val_loss", losses},
                      {"best_rate", std::exp2(s.log2_best)},
                      {"at_edge", s.at_edge}});
  }
  Json j = {{"kind", c.coordinates.kind}, {"rate", c.coordinates.rate}, {"layers", layers}};
  if (!c.sweeps.empty()) j["sweeps"] = sweeps;
  return j;
}

void print_people(const Checked& c, const WidthFamily& family, const Args& args) {
  std::vector<std::string> columns = {c.coordinates.kind};
  for (int64_t m : args.multiples) columns.push_back(">" + std::to_string(family.width(m)));
  columns.insert(columns.end(), {">slope", ""});
  Table table(columns);
  for (const LayerChange& l : c.coordinates.layers) {
    std::vector<std::string> row = {l.layer};
    for (double change : l.change) row.push_back(short_number(change, 3));
    row.insert(row.end(), {short_number(l.slope, 2), word_for(l.slope)});
    table.row(row);
  }
  table.print();
  std::printf("\n");
  if (c.sweeps.empty()) return;
  columns = {c.coordinates.kind + ", width"};
  for (double r : args.rates) columns.push_back(">" + short_number(r, 3));
  columns.emplace_back(">best rate");
  Table losses(columns);
  for (const WidthSweep& s : c.sweeps) {
    std::vector<std::string> row = {std::to_string(s.width)};
    for (double l : s.loss) row.push_back(std::isfinite(l) ? short_number(l) : "diverged");
    row.push_back(short_number(std::exp2(s.log2_best), 3) + (s.at_edge ? " (edge)" : ""));
    losses.row(row);
  }
  losses.print();
  std::printf("\n");
}

ExitCode coordcheck(Args args, const Common& common) {
  Yaml recipe = load_recipe(args.recipe, "train");
  for (const std::string& a : args.assignments) set_recipe_value(recipe, a);
  if (common.seed) set_recipe_value(recipe, "seed=" + std::to_string(*common.seed));
  const TrainRecipe read = read_train_recipe(recipe);
  for (size_t i = 0; i + 1 < args.multiples.size(); ++i)
    if (args.multiples[i] >= args.multiples[i + 1])
      throw usage_error("--multiples", "must rise", "--multiples 1,2,4,8");
  if (args.multiples.size() < 2)
    throw usage_error("--multiples", "is one width alone", "--multiples 1,2,4,8");
  const std::vector<std::string> known = parametrization_names();
  for (const std::string& kind : args.kinds)
    if (std::ranges::find(known, kind) == known.end())
      throw usage_error("--kinds", "there is no parametrisation '" + kind + "'",
                        suggestion(kind, known));
  const WidthFamily family = family_of(read);
  if (args.kinds.empty()) args.kinds = parametrization_names();
  // What does not fit is told before anything is trained.
  for (const std::string& kind : args.kinds)
    for (int64_t m : args.multiples) family.at(kind, m, read.training.seed);
  std::vector<uint64_t> seeds;
  for (int64_t s = 0; s < args.seeds; ++s) seeds.push_back(read.training.seed + uint64_t(s));
  Json list = Json::array();
  for (const std::string& kind : args.kinds) {
    Checked c;
    log_info(kind + ": " + std::to_string(args.steps) + " steps at each width");
    c.coordinates = check_coordinates(
        family, kind,
        {args.multiples, args.steps, args.seeds, read.training.schedule.peak, read.training.seed});
    if (!args.rates.empty())
      for (int64_t m : args.multiples)
        c.sweeps.push_back(sweep_rates(family, kind, m, args.rates, seeds, [&](double r, double l) {
          log_info(kind + ", width " + std::to_string(family.width(m)) + ", rate " +
                   short_number(r, 3) + ": " +
                   (std::isfinite(l) ? "loss " + short_number(l) : "diverged"));
        }));
    if (common.json)
      list.push_back(to_json(c, args.rates));
    else
      print_people(c, family, args);
  }
  if (common.json) {
    std::vector<int64_t> widths;
    for (int64_t m : args.multiples) widths.push_back(family.width(m));
    print_json({{"recipe", args.recipe},
                {"model", read.model.text},
                {"data", family.train->description()},
                {"widths", widths},
                {"steps", args.steps},
                {"seeds", args.seeds},
                {"kinds", list}});
  }
  return ExitCode::kOk;
}

}  // namespace

Action coordcheck_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  app.add_option("recipe", args->recipe,
                 "A recipe whose task is train, with training.parametrization")
      ->required()
      ->check(given("the file name"))
      ->option_text("R");
  app.add_option("--multiples", args->multiples,
                 "Widths, as multiples of the base's variables (default 1,2,4)")
      ->delimiter(',')
      ->transform(whole_number(1));
  app.add_option("--kinds", args->kinds, "Of standard, ntk, mup (default: all)")->delimiter(',');
  app.add_option("--steps", args->steps, "Steps after which features are looked at (default 4)")
      ->transform(whole_number(1));
  app.add_option("--seeds", args->seeds, "Seeds to average over (default 1)")
      ->transform(whole_number(1));
  app.add_option("--rates", args->rates,
                 "Also train whole runs at these rates and say which is best at each width")
      ->delimiter(',')
      ->check(finite_number(1e-12, 1e6));
  app.add_option("--set", args->assignments, "Any value of the recipe: training.epochs=1")
      ->option_text("KEY=VALUE");
  app.footer(
      "Examples:\n"
      "  espalier coordcheck wide.yaml --multiples 1,2,4,8 --seeds 2\n"
      "  espalier coordcheck wide.yaml --kinds standard,mup --rates 1e-3,2e-3,4e-3,8e-3\n"
      "A feature's change is the root of its mean square; a slope of 0 means that widths agree.");
  return [args](const Common& common) { return coordcheck(*args, common); };
}

}  // namespace espalier::cli

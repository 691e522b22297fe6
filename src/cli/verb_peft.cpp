// espalier peft: ways to fine-tune a network, side by side.
#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "data/source.h"
#include "recipe/recipe.h"
#include "recipe/tuning.h"
#include "runtime/timing.h"
#include "train/step_session.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  std::string recipe;
  std::vector<std::string> methods, assignments;
  std::vector<double> rates;
  double seconds = 1;
};

/// A method and what became of it; `refused` says why it does not fit the network.
struct Row {
  TuningMethod method;
  TuningOutcome out;
  double step_ms = 0;
  std::string refused;
};

TuningTask task_of(const TrainRecipe& recipe) {
  if (!recipe.trained.everything())
    throw usage_error(recipe.trained.place.where(), "says already what is trained",
                      "peft bench compares ways to; leave the keys only and adapt out");
  if (recipe.parametrization)
    throw usage_error(recipe.parametrization->place.where(), "says how a new network begins",
                      "peft bench takes networks with weights; leave parametrization out");
  if (recipe.v_cycle)
    throw usage_error(recipe.v_cycle->place.where(), "trains other sizes of the network first",
                      "peft bench trains one network; leave v_cycle out");
  if (recipe.incubation)
    throw usage_error(recipe.incubation->place.where(), "trains modules of the network first",
                      "peft bench trains one network; leave incubation out");
  const DataSource source(recipe.data);
  TuningTask t{recipe.name,
               {},
               source.split(Split::train),
               source.split(Split::val),
               source.split(Split::test),
               recipe.training};
  t.network = recipe.model.build(recipe.training.seed, t.train.get());
  return t;
}

/// Steps alone, in turn, as data and evaluation would blur them.
void time_steps(const TuningTask& task, std::vector<Row>& rows, double seconds) {
  std::vector<std::unique_ptr<StepSession>> sessions;
  std::vector<Batch> batches;
  std::vector<std::function<void()>> contenders;
  std::vector<Row*> timed;
  for (Row& r : rows) {
    if (!r.refused.empty()) continue;
    TuningStep step = trained_step_of(task, r.method);
    sessions.push_back(std::make_unique<StepSession>(std::move(step.graph)));
    batches.push_back(std::move(step.batch));
    contenders.emplace_back([s = sessions.back().get(), b = batches.back()] { s->run(b, 0, 1); });
    timed.push_back(&r);
  }
  constexpr int kRounds = 7;
  const auto times = time_alternating(
      contenders, {.rounds = kRounds, .seconds_per_turn = seconds / kRounds, .least_runs = 1});
  for (size_t i = 0; i < timed.size(); ++i) timed[i]->step_ms = times[i].median_ms;
}

Json to_json(const Row& r) {
  if (!r.refused.empty()) return {{"method", r.method.name}, {"refused", r.refused}};
  const TuningOutcome& o = r.out;
  return {{"method", o.method},
          {"trained", o.trained},
          {"share", o.share()},
          {"peak_bytes", o.memory.total()},
          {"arena_bytes", o.memory.arena},
          {"constant_bytes", o.memory.constants},
          {"state_bytes", o.memory.states},
          {"optimizer_bytes", o.optimizer_bytes},
          {"step_ms", r.step_ms},
          {"rate", o.rate},
          {"val_loss", o.last().val_loss},
          {"test_loss", o.tested.loss},
          {"test_accuracy", o.tested.accuracy},
          {"merged", o.merged}};
}

void print_people(const std::vector<Row>& rows) {
  Table table({"method", ">trained", ">share", ">peak", ">step ms", ">rate", ">val loss",
               ">test loss", ">test %", "merged"});
  for (const Row& r : rows) {
    if (!r.refused.empty()) continue;
    const TuningOutcome& o = r.out;
    table.row({o.method, grouped(double(o.trained)), short_number(100 * o.share(), 3) + " %",
               short_bytes(double(o.memory.total())), short_number(r.step_ms, 3),
               short_number(o.rate, 3), short_number(o.last().val_loss),
               short_number(o.tested.loss), short_number(100 * o.tested.accuracy, 4),
               o.merged ? "yes" : "no"});
  }
  table.print();
  for (const Row& r : rows)
    if (!r.refused.empty()) std::printf("%s: %s\n", r.method.name.c_str(), r.refused.c_str());
}

ExitCode bench(const Args& args, const Common& common) {
  std::vector<Row> rows;
  const bool own = !args.methods.empty();
  for (const std::string& m : own ? args.methods
                                  : std::vector<std::string>{"full", "head", "bias", "lora",
                                                             "flora", "bottleneck", "prefix"})
    rows.push_back({parse_tuning_method(m), {}, 0, ""});
  Yaml recipe = load_recipe(args.recipe, "train");
  for (const std::string& a : args.assignments) set_recipe_value(recipe, a);
  if (common.seed) set_recipe_value(recipe, "seed=" + std::to_string(*common.seed));
  const TrainRecipe read = read_train_recipe(recipe);
  const TuningTask task = task_of(read);
  // What does not fit is told before anything is trained.
  for (Row& r : rows) try {
      prepared_network(deployed(task.network, task.training.norms), r.method.part, task.train,
                       task.training.seed, task.training.precision);
    } catch (const UserError& e) {
      if (own) throw;
      r.refused = e.what();
    }
  std::vector<double> rates = args.rates;
  if (rates.empty()) rates = {task.training.schedule.peak};
  for (Row& r : rows)
    if (r.refused.empty()) r.out = tuned_at_best(task, r.method, rates);
  time_steps(task, rows, args.seconds);
  if (common.json) {
    Json list = Json::array();
    for (const Row& r : rows) list.push_back(to_json(r));
    print_json({{"recipe", args.recipe},
                {"model", read.model.text},
                {"data", task.train->description()},
                {"batch", task.training.batch},
                {"epochs", task.training.epochs},
                {"methods", list}});
  } else {
    print_people(rows);
  }
  return ExitCode::kOk;
}

}  // namespace

Action peft_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  auto action = std::make_shared<Action>();
  app.require_subcommand(1);
  app.fallthrough();
  CLI::App* verb = app.add_subcommand(
      "bench", "Fine-tune a network in several ways and compare size, memory, time and loss");
  verb->add_option("recipe", args->recipe, "A recipe whose task is train, its network with weights")
      ->required()
      ->check(given("the file name"))
      ->option_text("R");
  std::string kinds;
  for (const AdapterUnit* u : adapters()) kinds += std::string(", ") + u->name;
  verb->add_option("--method", args->methods,
                   "full, head, only" + kinds +
                       ", with settings: lora:rank=4,also=head.* "
                       "(default: all that fit)")
      ->option_text("METHOD…");
  verb->add_option("--rates", args->rates,
                   "Peak learning rates that each method may choose from by validation loss "
                   "(default: the recipe's)")
      ->delimiter(',')
      ->check(finite_number(1e-12, 1e6));
  verb->add_option("--set", args->assignments, "Any value of the recipe: training.epochs=1")
      ->option_text("KEY=VALUE");
  verb->add_option("--seconds", args->seconds, "How long to time each step (default 1)")
      ->check(finite_number(0.01, 3600));
  verb->callback(
      [action, args] { *action = [args](const Common& common) { return bench(*args, common); }; });
  verb->footer(
      "Examples:\n"
      "  espalier peft bench tune.yaml\n"
      "  espalier peft bench tune.yaml --method full --method lora:rank=4 --rates 1e-3,3e-3\n"
      "  espalier peft bench tune.yaml --json | jq '.methods[] | {method, share, test_loss}'\n"
      "peak is what the compiled step takes: activations, gradients, constants and states.");
  app.footer(
      "Examples:\n"
      "  espalier peft bench tune.yaml");
  return [action](const Common& common) { return (*action)(common); };
}

}  // namespace espalier::cli

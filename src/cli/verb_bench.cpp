// espalier bench: how fast a network is on this machine, and where its time goes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/rng.h"
#include "base/threads.h"
#include "cli/bench_step.h"
#include "cli/bench_stream.h"
#include "cli/bench_tune.h"
#include "cli/compile_options.h"
#include "cli/measure.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/precision.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "runtime/random_input.h"
#include "runtime/session.h"
#include "runtime/timing.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  ModelOptions model;
  CompileFlags compile;
  double seconds = 1;
  std::string stream;  ///< see parse_stream; empty: one shape
  std::string tune;    ///< how long to look for faster kernels; empty: not at all
  bool whole_space = false;
  bool profile = false;
  StepArgs step;          ///< of training; no precision: inference
  std::string precision;  ///< auto: what is fastest; empty: as the network is
  PrecisionChoiceOptions choice;
};

/// What is timed, and the first values of its states.
struct Workload {
  Graph graph;
  std::map<std::string, Tensor> states;
  std::map<std::string, Tensor> given;  ///< inputs by name; others are random
  std::optional<PrecisionChoice> choice;
  std::string training_precision = {};

  Session compiled(const CompileOptions& options) const { return started(compile(graph, options)); }
  /// For the last time: the graph goes as it is compiled, and first values when they are copied.
  Session compiled_last(const CompileOptions& options) {
    Session session = started(compile(std::move(graph), options));
    states.clear();
    return session;
  }

 private:
  Session started(std::shared_ptr<const Program> program) const {
    Session session(std::move(program));
    for (const auto& [name, first] : states) session.set_state(name, first);
    return session;
  }
};

/// In ten rounds, or as many as long runs leave time for: a round of fewer than three runs would
/// show no spread.
Timing time(const std::function<void()>& run, double seconds) {
  constexpr int kRuns = 3;
  const double once =
      time_alternating({&run, 1}, {.rounds = 1, .seconds_per_turn = 0, .least_runs = 1})[0]
          .median_ms;
  const int rounds = int(std::clamp(1e3 * seconds / (kRuns * once), 3.0, 10.0));
  return time_alternating({&run, 1}, {.rounds = rounds,
                                      .seconds_per_turn = seconds / rounds,
                                      .least_runs = kRuns,
                                      .warmup_runs = 0})[0];
}

Timing time(Session& session, const std::vector<Tensor>& inputs, double seconds) {
  std::vector<Tensor> outputs;
  for (const TensorType& t : session.program().output_types())
    outputs.emplace_back(t.dtype, t.shape());
  return time([&] { session.run_into(inputs, outputs); }, seconds);
}

std::vector<Tensor> inputs_of(const Workload& work, const Session& session, uint64_t seed) {
  std::vector<Tensor> inputs;
  const Program& program = session.program();
  for (size_t i = 0; i < program.input_types().size(); ++i) {
    const auto given = work.given.find(program.input_names()[i]);
    inputs.push_back(given != work.given.end()
                         ? given->second
                         : random_input(program.input_types()[i], Rng(seed, 1).fork(i)));
  }
  return inputs;
}

/// The fastest of the steps by a short look at each.
Workload training_step(const Args& args, const Graph& g) {
  // All first: states that begin as zeros take no memory as long as none has been used and freed.
  std::vector<Workload> steps;
  for (TimedStep& step : training_steps(args.step, g, args.model.shapes_of(g).at(0)))
    steps.push_back(
        {std::move(step.graph), std::move(step.states), std::move(step.given), {}, step.precision});
  size_t best = 0;
  double least = 0;
  for (size_t i = 0; i < steps.size() && steps.size() > 1; ++i) {
    Session session = steps[i].compiled(args.compile.options());
    const double ms = time(session, inputs_of(steps[i], session, 0), args.seconds / 4).median_ms;
    if (i == 0 || ms < least) best = i, least = ms;
  }
  return std::move(steps[best]);
}

Workload chosen(const Args& args) {
  if (args.precision != "auto")
    throw usage_error("--precision", "'" + args.precision + "' is not known",
                      "leave it out to time the network as it is, or choose auto");
  ModelOptions model = args.model;
  model.keep_regions = false;
  const Graph g = model.load();
  PrecisionChoice choice = args.choice.choose(g, model, true);
  return {specialised(choice.best().graph, model.shapes_of(g)), {}, {}, std::move(choice)};
}

Workload workload_of(const Args& args) {
  args.step.check();
  if (!args.step.precision.empty() && !args.precision.empty())
    throw usage_error("--precision", "and --train do not go together",
                      "--train names the precision of the step");
  if (!args.precision.empty()) return chosen(args);
  if (args.step.precision.empty()) return {args.model.load_static(), {}, {}, {}};
  ModelOptions model = args.model;
  model.keep_regions = false;
  const Graph g = model.load();
  return training_step(args, g);
}

/// The first extent of the first input; all are static.
int64_t batch_of(const std::vector<TensorType>& inputs) {
  return inputs.empty() || inputs[0].rank() == 0 ? 1 : inputs[0].dims[0].value();
}

Json profile_json(const Profile& profile) {
  Json list = Json::array();
  const double total = profile.total_us();
  for (const ProfileEntry& e : profile.entries)
    list.push_back({{"node", e.node},
                    {"kernel", e.kernel},
                    {"median_us", e.median_us()},
                    {"share", total > 0 ? e.median_us() / total : 0},
                    {"macs", e.macs}});
  return list;
}

void print_profile(const Profile& profile) {
  std::vector<const ProfileEntry*> entries;
  for (const ProfileEntry& e : profile.entries) entries.push_back(&e);
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto* a, const auto* b) { return a->median_us() > b->median_us(); });
  const double total = std::max(profile.total_us(), 1e-9);
  Table table({">us", ">share", ">GMAC/s", "node", "kernel"});
  for (const ProfileEntry* e : entries) {
    const double us = e->median_us();
    char share[16];
    std::snprintf(share, sizeof share, "%.1f %%", 100 * us / total);
    table.row({short_number(us), share,
               e->macs > 0 && us > 0 ? short_number(e->macs / us / 1e3, 3) : "", e->node,
               e->kernel});
  }
  std::printf("\n");
  table.print();
}

/// A network whose structure or sizes depend on data is timed as a whole, on what is drawn for it.
ExitCode bench_host(const Args& args, const Common& common, const Graph& g) {
  if (args.profile)
    throw unsupported(args.model.path, "depends on data: " + dynamics_of(g),
                      "the time of each operator is measured for straight lines; leave --profile");
  const CompileOptions options = args.compile.options();
  Model model(g, options);
  std::vector<TensorType> types;
  std::vector<Datum> inputs;
  for (ValueId v : g.inputs()) {
    if (!g.value(v).type.is_static())
      throw unsupported(args.model.path + ": input '" + g.value(v).name + "'",
                        "is " + to_string(g.value(v).type) + ", for which nothing can be drawn");
    types.push_back(g.value(v).tensor());
    inputs.emplace_back(
        random_input(types.back(), Rng(common.seed.value_or(0), 1).fork(inputs.size())));
  }
  const Timing timing = time([&] { model.run_data(inputs); }, args.seconds);
  const int threads = options.threads > 0 ? options.threads : num_threads();
  if (common.json) {
    print_json({{"model", args.model.path},
                {"median_ms", timing.median_ms},
                {"p10_ms", timing.p10_ms},
                {"p90_ms", timing.p90_ms},
                {"precision", precision_of(g)},
                {"threads", threads},
                {"batch", batch_of(types)},
                {"runs", timing.runs},
                {"depends_on_data", true},
                {"programs", model.compilations()}});
    return ExitCode::kOk;
  }
  std::printf("%s: median %s ms (p10 %s, p90 %s) over %lld runs, %s, %d thread%s\n",
              args.model.path.c_str(), short_number(timing.median_ms).c_str(),
              short_number(timing.p10_ms).c_str(), short_number(timing.p90_ms).c_str(),
              static_cast<long long>(timing.runs), precision_of(g).c_str(), threads,
              threads == 1 ? "" : "s");
  std::printf("%s; %d compiled program%s and a host program between them\n", dynamics_of(g).c_str(),
              model.compilations(), model.compilations() == 1 ? "" : "s");
  return ExitCode::kOk;
}

ExitCode bench_lengths(const Args& args, const Common& common) {
  if (!args.step.precision.empty() || !args.precision.empty() || args.profile)
    throw usage_error("--stream", "goes with none of --train, --precision and --profile");
  return bench_stream(args.model.path, args.model.load(), parse_stream(args.stream),
                      args.model.batch, args.compile.options(), args.seconds, common);
}

ExitCode bench_tuned(const Args& args, const Common& common) {
  if (!args.step.precision.empty() || !args.precision.empty() || args.profile ||
      !args.stream.empty())
    throw usage_error("--tune", "goes with none of --train, --precision, --stream and --profile",
                      "bench again with --tuned --profile to see the time of each operator");
  if (args.compile.tuned)
    throw usage_error("--tune", "and --tuned do not go together",
                      "--tune times the network with and without what it finds");
  const Graph g = args.model.load_static();
  if (const std::string why = dynamics_of(g); !why.empty())
    throw depends_on_data(args.model.path, why);
  BenchTune how;
  how.seconds = parse_duration("--tune", args.tune);
  how.whole_space = args.whole_space;
  how.bench_seconds = args.seconds;
  return bench_tune(args.model.path, g, how, args.compile.options(), common);
}

ExitCode bench(const Args& args, const Common& common) {
  if (args.whole_space && args.tune.empty())
    throw usage_error("--whole-space", "is a way to tune", "say --tune 10m as well");
  if (!args.tune.empty()) return bench_tuned(args, common);
  if (!args.stream.empty()) return bench_lengths(args, common);
  const auto begin = std::chrono::steady_clock::now();
  Workload work = workload_of(args);
  if (work.graph.states().empty() && !dynamics_of(work.graph).empty())
    return bench_host(args, common, work.graph);
  const std::string precision =
      args.step.precision.empty() ? precision_of(work.graph) : work.training_precision;
  CompileOptions options = args.compile.options();
  Session session = args.profile ? work.compiled(options) : work.compiled_last(options);
  const std::chrono::duration<double, std::milli> load = std::chrono::steady_clock::now() - begin;
  const std::vector<Tensor> inputs = inputs_of(work, session, common.seed.value_or(0));
  const Timing timing = time(session, inputs, args.seconds);
  const int64_t batch = batch_of(session.program().input_types());
  Profile profile;
  if (args.profile) {
    // Apart from the timing above, which it would slow.
    options.profile = true;
    Session profiled = work.compiled(options);
    time(profiled, inputs, args.seconds / 2);
    profile = profiled.profile();
  }
  if (common.json) {
    Json o = {{"model", args.model.path},
              {"median_ms", timing.median_ms},
              {"p10_ms", timing.p10_ms},
              {"p90_ms", timing.p90_ms},
              {"precision", precision},
              {"training", !args.step.precision.empty()},
              {"threads", session.program().threads()},
              {"batch", batch},
              {"by_sample", session.program().samples() > 1},
              {"runs", timing.runs},
              {"load_ms", load.count()},
              {"arena_bytes", session.program().arena_bytes()},
              {"weight_bytes", session.program().weight_bytes()},
              {"reference_nodes", session.program().reference_count()}};
    if (work.choice) o["choice"] = to_json(*work.choice, args.choice.max_error);
    if (args.profile) o["profile"] = profile_json(profile);
    print_json(o);
    return ExitCode::kOk;
  }
  if (work.choice) print_choice(*work.choice, args.choice.max_error);
  std::printf("%s%s: median %s ms (p10 %s, p90 %s) over %lld runs, %s, batch %lld%s, %d thread%s\n",
              args.model.path.c_str(), args.step.precision.empty() ? "" : ", training step",
              short_number(timing.median_ms).c_str(), short_number(timing.p10_ms).c_str(),
              short_number(timing.p90_ms).c_str(), static_cast<long long>(timing.runs),
              precision.c_str(), static_cast<long long>(batch),
              session.program().samples() > 1 ? " sample by sample" : "",
              session.program().threads(), session.program().threads() == 1 ? "" : "s");
  if (const int n = session.program().reference_count(); n > 0)
    std::printf("%d node%s run on reference loops; --explain says why\n", n, n == 1 ? "" : "s");
  if (args.profile) {
    if (session.program().samples() > 1) std::printf("\none sample on one thread:\n");
    print_profile(profile);
  }
  return ExitCode::kOk;
}

}  // namespace

Action bench_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.keep_regions = true;
  args->model.add_to(app);
  app.add_option("--seconds", args->seconds, "How long to measure (default 1)")
      ->check(finite_number(0.01, 3600));
  args->step.add_to(app);
  app.add_option("--stream", args->stream,
                 "Lengths that change from run to run beside fixed ones: T=16:400:50 is 50 of the "
                 "open dimension T")
      ->option_text("DIM=FIRST:LAST:COUNT");
  app.add_option("--precision", args->precision,
                 "auto: what is fastest of f32, bf16 and (given data) int8");
  args->choice.add_to(app);
  app.add_option("--tune", args->tune,
                 "Look so long for faster kernels (30s, 2m), then time the network without and "
                 "with them; --tuned uses them later")
      ->option_text("DURATION")
      ->check(given("the duration"));
  app.add_flag("--whole-space", args->whole_space,
               "Let --tune measure every tile instead of the dozens that suit the device");
  app.add_flag("--profile", args->profile, "Show the time of each operator");
  args->compile.add_to(app);
  app.footer(
      "Examples:\n"
      "  espalier bench net.onnx --threads 1\n"
      "  espalier bench net.onnx --batch 8 --profile\n"
      "  espalier bench speech.onnx --stream T=16:400:50\n"
      "  espalier bench net.onnx --json | jq .median_ms\n"
      "  espalier bench net.onnx --threads 1 --tune 30s\n"
      "  espalier bench net.onnx --precision auto --data images:photos.zip --max-error 2\n"
      "  espalier bench recipes/zoo/resnet20.yaml --train bf16 --batch 128 --profile\n"
      "  espalier bench recipes/zoo/char_gpt.yaml --train f32 --batch 12 --optimizer adamw\n"
      "  espalier bench recipes/zoo/char_gpt.yaml --train f32 --only '[{last_layers: 4}]'\n"
      "Inputs are random numbers (--seed); median, p10 and p90 are medians over rounds.");
  return [args](const Common& common) { return bench(*args, common); };
}

}  // namespace espalier::cli

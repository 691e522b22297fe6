// espalier adapt: a network that adapts to a data set's samples while it answers them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/progress.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "data/source.h"
#include "train/test_time.h"
#include "train/trainer.h"

namespace espalier::cli {
namespace {

struct Args {
  ModelOptions model;
  std::string data, output, method = "deyo";
  std::optional<double> rate, most_entropy, least_drop;
  int64_t patches = 4, reset_every = 0;
  std::vector<std::string> names;
};

TestTimeOptions options_of(const Args& args, const Common& common) {
  const auto& names = test_time_methods();
  const auto found = std::find(names.begin(), names.end(), args.method);
  TestTimeOptions o = TestTimeOptions::of(TestTimeMethod(found - names.begin()));
  if (args.model.batch > 0) o.batch = args.model.batch;
  if (args.rate) o.rate = *args.rate;
  if (args.most_entropy) o.most_entropy = *args.most_entropy;
  if (args.least_drop) o.least_drop = *args.least_drop;
  o.patches = args.patches;
  o.reset_every = args.reset_every;
  o.seed = common.seed.value_or(0);
  if (!args.names.empty()) o.adapted = Selection{Filter{.names = args.names}};
  return o;
}

ExitCode adapt(const Args& args, const Common& common) {
  if (!args.output.empty()) refuse_overwriting(args.output, common);
  const TestTimeOptions options = options_of(args, common);
  const auto data = load_dataset(DataSpec::parse(args.data), Split::test);
  const Graph g = args.model.load();
  TestTimeResult r;
  {
    Progress progress("adapting", data->size(), "samples");
    r = adapt_to(g, *data, options, &progress);
  }
  const double before = evaluate(g, *data, Loss::kCrossEntropy).accuracy;
  if (!args.output.empty()) save_model(r.network, args.output);
  if (common.json) {
    print_json({{"model", args.model.path},
                {"data", data->description()},
                {"method", args.method},
                {"batch", options.batch},
                {"rate", options.rate},
                {"top1", r.accuracy},
                {"top1_late", r.late_accuracy},
                {"top1_unadapted", before},
                {"samples", r.counts.answered},
                {"confident", r.counts.confident},
                {"learned_from", r.counts.chosen},
                {"forward", r.counts.forward},
                {"backward", r.counts.backward}});
    return ExitCode::kOk;
  }
  std::printf(
      "top-1 %.2f %% while it adapted (%.2f %% in the last quarter), %.2f %% as it was, on %s\n"
      "learned from %lld of %lld samples\n",
      100 * r.accuracy, 100 * r.late_accuracy, 100 * before, data->description().c_str(),
      static_cast<long long>(r.counts.chosen), static_cast<long long>(r.counts.answered));
  return ExitCode::kOk;
}

}  // namespace

Action adapt_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.add_to(app);
  app.add_option("--data", args->data, "The samples in the order they are met; labels only measure")
      ->required()
      ->option_text("SPEC");
  app.add_option("--method", args->method, "Which samples are learned from: none, tent, eata, deyo")
      ->check(CLI::IsMember(test_time_methods()))
      ->capture_default_str();
  app.add_option("--rate", args->rate, "Learning rate, by default 1e-3")
      ->transform(finite_number(0));
  app.add_option("--most-entropy", args->most_entropy,
                 "Samples of more entropy are left out, as a part of ln C: deyo 0.5, eata 0.4")
      ->transform(finite_number(0.0001, 1));
  app.add_option("--least-drop", args->least_drop,
                 "deyo: probability that an answer must lose when patches move, by default 0.2")
      ->transform(finite_number(-1, 0.9999));
  app.add_option("--patches", args->patches, "deyo: patches along each side of a picture")
      ->transform(whole_number(2, 1024))
      ->capture_default_str();
  app.add_option("--reset-every", args->reset_every,
                 "Batches after which the network is as it was at first; 0: never")
      ->transform(whole_number(0))
      ->capture_default_str();
  app.add_option("--only", args->names,
                 "Parameters that adapt, as patterns; by default those of normalisations")
      ->option_text("NAME ...");
  app.add_option("-o,--output", args->output, "The network as it is at the end")
      ->check(given("the file name"));
  app.footer(
      "Examples:\n"
      "  espalier adapt net.onnx --data 'images:photos' --batch 32 --rate 1e-3\n"
      "  espalier adapt net.onnx --data 'images:photos' --method tent -o adapted.onnx\n"
      "  espalier adapt net.onnx --data 'images:photos' --batch 1 --least-drop 0.3\n"
      "A network meets samples unlike those it learned from, answers them batch by batch and "
      "adapts\n"
      "without their labels: it descends the entropy of its own answers. Networks with group or "
      "layer\n"
      "normalisation can do so one sample at a time, batch normalisation wants some ten at once.");
  return [args](const Common& common) { return adapt(*args, common); };
}

}  // namespace espalier::cli

// espalier eval: a network's metric on a data set.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "data/source.h"
#include "passes/float_interface.h"
#include "passes/open_batch.h"
#include "train/trainer.h"

namespace espalier::cli {
namespace {

struct Args {
  ModelOptions model;
  std::string data, output;
};

/// A network tied to one batch size is evaluated in batches of that.
Graph open_where_possible(Graph g) {
  try {
    return with_open_batch(g);
  } catch (const UserError&) {
    return g;
  }
}

/// The value that answers must be there, and named where there are several.
void check_output(const Args& args, const Graph& g) {
  std::string outputs;
  for (ValueId v : g.outputs()) outputs += (outputs.empty() ? "" : ", ") + g.value(v).name;
  if (args.output.empty() && g.outputs().size() > 1)
    throw usage_error(args.model.path, "has several outputs",
                      "--output names the one that answers: " + outputs);
  if (!args.output.empty() && g.find(args.output) == kNoValue)
    throw usage_error("--output " + args.output, "the network has no value of that name",
                      "its outputs are " + outputs);
}

ExitCode evaluate_on(const Args& args, const Common& common) {
  const DataSpec spec = DataSpec::parse(args.data);
  const Graph g = open_where_possible(with_float_interface(args.model.load()));
  check_output(args, g);
  const auto data = load_dataset(spec, Split::test);
  const bool classes = data->classes() > 0;
  const int64_t batch = args.model.batch > 0 ? args.model.batch : 250;
  const Evaluation e =
      evaluate(g, *data, classes ? Loss::kCrossEntropy : Loss::kMeanSquared, batch, args.output);
  const bool text = data->bytes_per_target() > 0;
  const std::string metric = text ? "perplexity" : classes ? "top1" : "mse";
  const double value = text ? perplexity(e.loss) : classes ? e.accuracy : e.loss;
  const double bits = text ? bits_per_byte(e.loss, data->bytes_per_target()) : 0;
  if (common.json) {
    nlohmann::ordered_json j = {{"model", args.model.path}, {"metric", metric},
                                {"value", value},           {"loss", e.loss},
                                {"samples", e.samples},     {"data", data->description()}};
    if (text) {
      j["bits_per_byte"] = bits;
      j["accuracy"] = e.accuracy;
    }
    if (!e.dice.empty()) j["dice"] = e.dice;
    print_json(j);
  } else if (text) {
    std::printf("perplexity %s (%s nats a token, %s bits a byte, %.2f %% of tokens right) on %s\n",
                short_number(value).c_str(), short_number(e.loss).c_str(),
                short_number(bits).c_str(), 100 * e.accuracy, data->description().c_str());
  } else if (classes) {
    std::printf("top-1 %.2f %% (cross-entropy %s) on %s\n", 100 * value,
                short_number(e.loss).c_str(), data->description().c_str());
    const auto& names = data->class_names();
    for (size_t c = 0; c < e.dice.size(); ++c)
      std::printf("Dice %.3f of %s\n", e.dice[c],
                  c < names.size() ? names[c].c_str() : ("class " + std::to_string(c)).c_str());
  } else {
    std::printf("mean squared error %s on %s\n", short_number(value).c_str(),
                data->description().c_str());
  }
  return ExitCode::kOk;
}

}  // namespace

Action eval_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.add_to(app);
  app.add_option("--data", args->data, "The data, as kind:path?key=value&…")
      ->required()
      ->option_text("SPEC");
  app.add_option("--output", args->output, "The result that answers, where there are several")
      ->check(given("the name"));
  app.footer(
      "Examples:\n"
      "  espalier eval net.onnx --data 'idx:data/mnist?normalize=raw'\n"
      "  espalier eval net.onnx --data 'images:cifar10.zip?split=test&limit=1000'\n"
      "  espalier eval net.tflite --data 'npz:test.npz?stored=nhwc&layout=nhwc'\n"
      "  espalier eval runs/gpt/model.onnx --data 'text:book.txt?context=64'\n"
      "Integers of a quantised network are understood by their scale: the data are its floats.\n"
      "The test split is used unless the spec names another. Kinds and keys: espalier data list.");
  return [args](const Common& common) { return evaluate_on(*args, common); };
}

}  // namespace espalier::cli

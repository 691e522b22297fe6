// espalier quantize: post-training quantisation to 8-bit integers, or bf16.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/measure.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/precision.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "compress/half_precision.h"
#include "compress/quantize.h"
#include "ir/count.h"

namespace espalier::cli {
namespace {

struct Args {
  ModelOptions model;
  PrecisionChoiceOptions choice;
  std::string output, precision = "int8";
  std::vector<std::string> exclude;
  double percentile = 99.99;
};

struct Outcome {
  Graph graph;
  size_t layers = 0;
  int64_t samples = 0;
  double relative_error = 0;  ///< of the outputs, on the first batch
  std::optional<PrecisionChoice> choice;
};

Outcome to_integers(const Args& args, const Graph& g) {
  if (args.choice.data.empty())
    throw usage_error("--data", "is needed to calibrate int8",
                      "give samples like those the network will see");
  const RangeMethod method = range_method(args.choice.method);
  const Graph prepared = prepared_for_quantization(g);
  const auto layers = quantizable_layers(prepared);
  if (layers.empty())
    throw unsupported(args.model.path, "has no contraction with constant float weights");
  const auto batches = calibration_data(prepared, args.choice.data, args.choice.samples);
  Calibrator calibrator(prepared, method, args.percentile);
  for (const auto& inputs : batches) calibrator.observe(inputs);
  Outcome o;
  o.graph = quantize(prepared, calibrator.ranges(), {args.exclude.begin(), args.exclude.end()});
  o.layers = layers.size() - args.exclude.size();
  o.samples = int64_t(batches.size()) * batches[0][0].shape()[0];
  o.relative_error = OutputError(prepared, {batches.data(), 1}).of(o.graph);
  return o;
}

ExitCode quantize_model(const Args& args, const Common& common) {
  if (args.precision != "int8" && args.precision != "bf16" && args.precision != "auto")
    throw usage_error("--precision", "'" + args.precision + "' is not known",
                      "choose int8, bf16 or auto");
  refuse_overwriting(args.output, common);
  const Graph g = args.model.load();
  const bool onnx = args.output.ends_with(".onnx");
  Outcome o;
  if (args.precision == "int8")
    o = to_integers(args, g);
  else if (args.precision == "auto")
    o.choice = args.choice.choose(g, args.model, !onnx), o.graph = o.choice->best().graph;
  else if (onnx)
    o.graph = with_bf16_weights(prepared_for_quantization(g));
  else
    o.graph = to_bf16(prepared_for_quantization(g));
  save_model(o.graph, args.output);
  const int64_t before = constant_bytes(g), after = constant_bytes(o.graph);
  if (common.json) {
    nlohmann::ordered_json j = {{"model", args.model.path},
                                {"output", args.output},
                                {"precision", args.precision},
                                {"weight_bytes", after},
                                {"weight_bytes_before", before}};
    if (o.layers > 0) {
      j["layers"] = o.layers;
      j["method"] = args.choice.method;
      j["samples"] = o.samples;
      j["relative_error"] = o.relative_error;
    }
    if (o.choice) j["choice"] = to_json(*o.choice, args.choice.max_error);
    print_json(j);
    return ExitCode::kOk;
  }
  if (o.choice) print_choice(*o.choice, args.choice.max_error);
  std::printf("%s: weights %s, were %s\n", args.output.c_str(), short_bytes(double(after)).c_str(),
              short_bytes(double(before)).c_str());
  if (o.layers > 0)
    std::printf("%zu layers in int8 (%s on %lld samples), outputs differ by %s %%\n", o.layers,
                args.choice.method.c_str(), static_cast<long long>(o.samples),
                short_number(100 * o.relative_error, 2).c_str());
  return ExitCode::kOk;
}

}  // namespace

Action quantize_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.add_to(app);
  app.add_option("-o,--output", args->output, "Where to: .onnx, .esp or .plan")
      ->required()
      ->check(given("the file name"));
  app.add_option("--precision", args->precision, "int8, bf16, or auto: what is fastest here")
      ->capture_default_str();
  args->choice.add_to(app);
  app.add_option("--percentile", args->percentile, "Share of magnitudes to represent")
      ->check(finite_number(0, 100))
      ->capture_default_str();
  app.add_option("--exclude", args->exclude, "A layer that stays in float, by its result's name")
      ->allow_extra_args(false);
  app.footer(
      "Examples:\n"
      "  espalier quantize net.onnx --data 'idx:data/mnist?normalize=raw' -o int8.onnx\n"
      "  espalier quantize net.onnx --data images:photos.zip --method percentile -o int8.onnx\n"
      "  espalier quantize net.onnx --precision bf16 -o net.plan\n"
      "  espalier quantize net.onnx --precision auto --max-error 2 --data images:photos -o "
      "net.plan\n"
      "In int8 the result holds QuantizeLinear and DequantizeLinear pairs, which ONNX Runtime and\n"
      "others understand. In bf16 a .plan or .esp computes in bf16; an .onnx holds its weights in\n"
      "bf16 and computes in f32, as other runtimes have no bf16 kernels. With auto each layer "
      "gets\n"
      "what is fastest here of f32, bf16 (not in an .onnx) and int8 (given data), as long as "
      "results\n"
      "are off those of f32 by no more than --max-error on data that did not calibrate. The train\n"
      "split is used unless the spec names another.");
  return [args](const Common& common) { return quantize_model(*args, common); };
}

}  // namespace espalier::cli

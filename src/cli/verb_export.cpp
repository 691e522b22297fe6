// espalier export: a network in another format.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "ir/interpret.h"

namespace espalier::cli {
namespace {

struct Args {
  ModelOptions model;
  std::string output;
  bool fix_shapes = false;
};

ExitCode write(const Args& args, const Common& common) {
  refuse_overwriting(args.output, common);
  const bool fixed = args.model.batch > 0 || !args.model.shape_texts.empty();
  const Graph g = fixed ? args.model.load_static() : args.model.load();
  save_model(g, args.output);
  const auto bytes = std::filesystem::file_size(args.output);
  if (common.json)
    print_json({{"model", args.model.path}, {"output", args.output}, {"bytes", bytes}});
  else
    std::printf("%s: %s\n", args.output.c_str(), short_bytes(double(bytes)).c_str());
  return ExitCode::kOk;
}

}  // namespace

Action export_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.add_to(app);
  app.add_option("-o,--output", args->output,
                 "Where to: .onnx, .esp (text), .plan, or .safetensors (weights)")
      ->required()
      ->check(given("the file name"));
  app.footer(
      "Examples:\n"
      "  espalier export net.onnx -o net.esp            to read it\n"
      "  espalier export net.onnx -o net.plan           optimised and mapped at start\n"
      "  espalier export net.tflite -o net.onnx         from TFLite, int8 networks as QDQ\n"
      "  espalier export lenet5.yaml -o lenet5.onnx     a definition with fresh weights\n"
      "  espalier export lenet5.yaml --weights w.safetensors -o lenet5.onnx\n"
      "  espalier export net.onnx -o net.safetensors    its parameters, by name\n"
      "  espalier export net.onnx --batch 1 -o one.onnx fixes the open dimensions\n"
      "ONNX files are of opset 17 and pass the ONNX checker.");
  return [args](const Common& common) { return write(*args, common); };
}

}  // namespace espalier::cli

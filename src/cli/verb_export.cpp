// espalier export: a network in another format.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "deploy/c_file.h"
#include "ir/derive.h"
#include "ir/interpret.h"

namespace espalier::cli {
namespace {

struct Args {
  ModelOptions model;
  std::string output;
  bool fix_shapes = false;
};

/// net.c and net.h, with int net_run(const inputs.., results..).
ExitCode write_c(const Args& args, const Common& common) {
  namespace fs = std::filesystem;
  const fs::path source = args.output, header = fs::path(args.output).replace_extension(".h");
  refuse_overwriting(header.string(), common);
  const std::string stem = source.stem().string();
  CFile file(stem);
  const Graph g = args.model.load_static();
  const CNetwork network = file.add(g, stem + "_run");
  write_file_atomic(source, file.source());
  write_file_atomic(header, file.header());
  const auto arguments = [](const std::vector<CArgument>& list) {
    nlohmann::ordered_json json;
    for (const CArgument& a : list)
      json.push_back({{"name", a.name},
                      {"parameter", a.identifier},
                      {"type", to_string(a.type)},
                      {"elements", a.type.numel()}});
    return json;
  };
  if (common.json) {
    print_json({{"model", args.model.path},
                {"output", args.output},
                {"header", header.string()},
                {"bytes", fs::file_size(source)},
                {"function", network.name},
                {"inputs", arguments(network.inputs)},
                {"outputs", arguments(network.outputs)},
                {"arena_bytes", file.arena_bytes()},
                {"weight_bytes", file.weight_bytes()}});
    return ExitCode::kOk;
  }
  std::printf("%s and %s: int %s(...)\n", source.c_str(), header.c_str(), network.name.c_str());
  Table table({"", "parameter", "type", ">elements"});
  for (const CArgument& a : network.inputs)
    table.row({"input", a.identifier, to_string(a.type), std::to_string(a.type.numel())});
  for (const CArgument& a : network.outputs)
    table.row({"output", a.identifier, to_string(a.type), std::to_string(a.type.numel())});
  table.print();
  std::printf("arena %s, weights %s\n", short_bytes(double(file.arena_bytes())).c_str(),
              short_bytes(double(file.weight_bytes())).c_str());
  return ExitCode::kOk;
}

ExitCode write(const Args& args, const Common& common) {
  refuse_overwriting(args.output, common);
  if (std::filesystem::path(args.output).extension() == ".c") return write_c(args, common);
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
  app.add_option(
         "-o,--output", args->output,
         "Where to: .onnx, .esp (text), .plan, .c (C99, and its .h), or .safetensors (weights)")
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
      "  espalier export net.onnx -o net.c              C99 without dependencies, and net.h\n"
      "ONNX files are of opset 17 and pass the ONNX checker.\n"
      "C files hold weights, code and one static arena; link them with -lm. Quantised networks\n"
      "run on integers, branches and loops become branches and loops. docs/c_export.md shows how\n"
      "to call them.");
  return [args](const Common& common) { return write(*args, common); };
}

}  // namespace espalier::cli

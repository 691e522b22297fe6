// espalier export: a network in another format.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "cli/emulation.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "deploy/c_file.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "recipe/train_in_c.h"

namespace espalier::cli {
namespace {

struct Args {
  ModelOptions model;
  std::string output, recipe;
  std::vector<std::string> assignments;  ///< of the recipe's values
  EmulationOptions emulation;
};

/// One network of a C file, for reports.
nlohmann::ordered_json to_json(const CNetwork& network) {
  const auto arguments = [](const std::vector<CArgument>& list) {
    nlohmann::ordered_json json;
    for (const CArgument& a : list)
      json.push_back({{"name", a.name},
                      {"parameter", a.identifier},
                      {"type", to_string(a.type)},
                      {"elements", a.type.numel()}});
    return json;
  };
  return {{"function", network.name},
          {"inputs", arguments(network.inputs)},
          {"outputs", arguments(network.outputs)}};
}

void print(const CNetwork& network) {
  std::printf("int %s(...)\n", network.name.c_str());
  Table table({"", "parameter", "type", ">elements"});
  for (const CArgument& a : network.inputs)
    table.row({"input", a.identifier, to_string(a.type), std::to_string(a.type.numel())});
  for (const CArgument& a : network.outputs)
    table.row({"output", a.identifier, to_string(a.type), std::to_string(a.type.numel())});
  table.print();
}

/// What a file that trains holds beside inference.
void report_training(const CFile& file, const CTraining& t, nlohmann::ordered_json* json) {
  if (json) {
    nlohmann::ordered_json states;
    for (const CState& s : file.states())
      states.push_back({{"name", s.name}, {"type", to_string(s.type)}, {"at", s.offset}});
    (*json)["training"] = to_json(t.step);
    (*json)["training"].update({{"init", file.init_function()},
                                {"arena", file.arena_function()},
                                {"params", t.trained},
                                {"optimizer_bytes", t.optimizer_bytes},
                                {"states", states}});
    (*json)["state_bytes"] = file.state_bytes();
    return;
  }
  std::printf("void %s(void), unsigned char* %s(void)\n", file.init_function().c_str(),
              file.arena_function().c_str());
  print(t.step);
  std::printf("trains %lld parameters; of the arena %s last from call to call (optimiser %s)\n",
              static_cast<long long>(t.trained), short_bytes(double(file.state_bytes())).c_str(),
              short_bytes(double(t.optimizer_bytes)).c_str());
}

TrainRecipe recipe_of(const Args& args, const Common& common) {
  Yaml recipe = load_recipe(args.recipe, "train");
  for (const std::string& a : args.assignments) set_recipe_value(recipe, a);
  if (common.seed)
    set_recipe_value(recipe, "seed=" + std::to_string(*common.seed),
                     "--seed " + std::to_string(*common.seed));
  return read_train_recipe(recipe, RecipeParts::kStep);
}

/// net.c and net.h, with int net_run(const inputs.., results..) and, by a recipe, int net_step(..).
ExitCode write_c(const Args& args, const Common& common) {
  namespace fs = std::filesystem;
  const fs::path source = args.output, header = fs::path(args.output).replace_extension(".h");
  refuse_overwriting(header.string(), common);
  const std::string stem = source.stem().string();
  CFile file(stem);
  std::optional<CTraining> training;
  CNetwork network;
  if (args.recipe.empty()) {
    network = file.add(args.model.load_static(), stem + "_run");
  } else {
    const TrainRecipe recipe = recipe_of(args, common);
    const Graph g = args.model.load();
    const std::vector<Shape> shapes = args.model.shapes_of(g);
    training = add_training(file, g, recipe, shapes.empty() ? Shape{} : shapes[0]);
    network = training->run;
  }
  write_file_atomic(source, file.source());
  write_file_atomic(header, file.header());
  const auto emulated = [&](nlohmann::ordered_json* json) {
    emulate(file, training ? &*training : nullptr, args.emulation, common.seed.value_or(0), json);
  };
  if (common.json) {
    nlohmann::ordered_json json = {{"model", args.model.path},
                                   {"output", args.output},
                                   {"header", header.string()},
                                   {"bytes", fs::file_size(source)}};
    json.update(to_json(network));
    json["arena_bytes"] = file.arena_bytes();
    json["weight_bytes"] = file.weight_bytes();
    if (training) report_training(file, *training, &json);
    if (!args.emulation.device.empty()) emulated(&json);
    print_json(json);
    return ExitCode::kOk;
  }
  std::printf("%s and %s: ", source.c_str(), header.c_str());
  print(network);
  if (training) report_training(file, *training, nullptr);
  std::printf("arena %s (%zu bytes), weights %s\n", short_bytes(double(file.arena_bytes())).c_str(),
              file.arena_bytes(), short_bytes(double(file.weight_bytes())).c_str());
  if (!args.emulation.device.empty()) emulated(nullptr);
  return ExitCode::kOk;
}

ExitCode write(const Args& args, const Common& common) {
  refuse_overwriting(args.output, common);
  if (std::filesystem::path(args.output).extension() == ".c") return write_c(args, common);
  if (!args.recipe.empty())
    throw usage_error("--train", "is for C alone, '" + args.output + "' does not end in .c",
                      "espalier train writes a trained network");
  if (!args.emulation.device.empty())
    throw usage_error("--emulate", "is for C alone, '" + args.output + "' does not end in .c");
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
  CLI::Option* train =
      app.add_option("--train", args->recipe,
                     "With -o net.c: a training recipe, whose step on a batch becomes C as well")
          ->check(given("the recipe's file name"))
          ->option_text("RECIPE");
  app.add_option("--set", args->assignments, "With --train: a value of the recipe")
      ->option_text("KEY=VALUE")
      ->needs(train);
  args->emulation.add_to(app);
  app.footer(
      "Examples:\n"
      "  espalier export net.onnx -o net.esp            to read it\n"
      "  espalier export net.onnx -o net.plan           optimised, packed, mapped at start\n"
      "  espalier export net.tflite -o net.onnx         from TFLite, int8 networks as QDQ\n"
      "  espalier export lenet5.yaml -o lenet5.onnx     a definition with fresh weights\n"
      "  espalier export lenet5.yaml --weights w.safetensors -o lenet5.onnx\n"
      "  espalier export net.onnx -o net.safetensors    its parameters, by name\n"
      "  espalier export net.onnx --batch 1 -o one.onnx fixes the open dimensions\n"
      "  espalier export net.onnx -o net.c              C99 without dependencies, and net.h\n"
      "  espalier export net.onnx -o net.c --train recipe.yaml --set training.batch=1\n"
      "                                                 C that goes on training it, in one arena\n"
      "  espalier export net.tflite -o net.c --emulate cortex-m4 --ram 128KB\n"
      "                                                 whether it fits, and what it takes there\n"
      "ONNX files are of opset 17 and pass the ONNX checker.\n"
      "C files hold weights, code and one static arena; link them with -lm. Quantised networks\n"
      "run on integers, branches and loops become branches and loops. With --train there are also\n"
      "net_init and net_step: what the recipe's training section says (batch, loss, optimizer,\n"
      "only or adapt) is one function; data and learning rate are the caller's. Networks in 8 "
      "bits\n"
      "train in 8 bits, by SGD without momentum. docs/c_export.md shows how to call them.");
  return [args](const Common& common) { return write(*args, common); };
}

}  // namespace espalier::cli

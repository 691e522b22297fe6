// espalier run: one inference on tensors from files.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/runner.h"
#include "cli/tensor_file.h"
#include "cli/verb.h"
#include "formats/npy.h"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Results with at most so many elements are printed whole.
constexpr int64_t kPrintedElements = 64;

struct Args {
  ModelOptions model;
  RunnerOptions runner;
  std::vector<std::string> inputs;
  std::string output_folder;
};

std::string inputs_of(const Graph& g) {
  std::string list;
  for (ValueId v : g.inputs())
    list += (list.empty() ? "" : ", ") + g.value(v).name + " " + to_string(g.value(v).type);
  return "the network takes " + list;
}

/// Tensors in the order of the graph's inputs.
std::vector<Tensor> read_inputs(const Args& args, const Graph& g) {
  std::map<std::string, Tensor> named;
  for (const auto& text : args.inputs) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos && g.inputs().size() != 1)
      throw usage_error("--input " + text, "names no input", inputs_of(g));
    const std::string name =
        equals == std::string::npos ? g.value(g.inputs()[0]).name : text.substr(0, equals);
    const std::string file = equals == std::string::npos ? text : text.substr(equals + 1);
    if (!named.emplace(name, read_tensor_file(file)).second)
      throw usage_error("--input " + text, "gives '" + name + "' again");
  }
  std::vector<Tensor> tensors;
  for (ValueId v : g.inputs()) {
    const auto it = named.find(g.value(v).name);
    if (it == named.end())
      throw usage_error(args.model.path, "input '" + g.value(v).name + "' is not given",
                        inputs_of(g));
    tensors.push_back(it->second);
    named.erase(it);
  }
  if (!named.empty())
    throw usage_error(args.model.path, "has no input named '" + named.begin()->first + "'",
                      inputs_of(g));
  return tensors;
}

Json element(const Tensor& t, int64_t i) {
  if (t.dtype() == DType::boolean) return t.at(i) != 0;
  if (!is_float(t.dtype())) return t.int_at(i);
  const double v = t.at(i);
  return std::isfinite(v) ? Json(v) : Json(v != v ? "nan" : v > 0 ? "inf" : "-inf");
}

struct Range {
  double least = INFINITY, most = -INFINITY, sum = 0;
};

Range range_of(const Tensor& t) {
  Range r;
  for (int64_t i = 0; i < t.size(); ++i) {
    r.least = std::min(r.least, t.at(i));
    r.most = std::max(r.most, t.at(i));
    r.sum += t.at(i);
  }
  return r;
}

Json to_json(const std::string& name, const Tensor& t, const std::string& file) {
  Json o = {{"name", name}, {"type", to_string(TensorType(t.dtype(), t.shape()))}};
  if (!file.empty()) o["file"] = file;
  if (t.size() <= kPrintedElements) {
    Json values = Json::array();
    for (int64_t i = 0; i < t.size(); ++i) values.push_back(element(t, i));
    o["values"] = std::move(values);
  }
  return o;
}

void print_people(const std::string& name, const Tensor& t, const std::string& file) {
  std::printf("%s: %s", name.c_str(), to_string(TensorType(t.dtype(), t.shape())).c_str());
  if (t.size() > 0) {
    const Range r = range_of(t);
    std::printf("  least %s, mean %s, most %s", short_number(r.least).c_str(),
                short_number(r.sum / double(t.size())).c_str(), short_number(r.most).c_str());
  }
  std::printf("%s%s\n", file.empty() ? "" : "  -> ", file.c_str());
  if (t.size() == 0 || t.size() > kPrintedElements) return;
  std::printf(" ");
  for (int64_t i = 0; i < t.size(); ++i) std::printf(" %s", short_number(t.at(i), 6).c_str());
  std::printf("\n");
}

ExitCode run_once(const Args& args, const Common& common) {
  const Graph g = args.model.load();
  const auto inputs = read_inputs(args, g);
  std::vector<std::string> files(g.outputs().size());
  if (!args.output_folder.empty()) {
    std::error_code failed;
    fs::create_directories(args.output_folder, failed);
    if (failed) throw bad_input(args.output_folder, "cannot be made: " + failed.message());
    for (size_t i = 0; i < files.size(); ++i) {
      const std::string name = file_name_of(g.value(g.outputs()[i]).name) + ".npy";
      files[i] = (fs::path(args.output_folder) / name).string();
      refuse_overwriting(files[i], common);
    }
  }
  const auto outputs = args.runner.run(g, inputs);
  Json list = Json::array();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = g.value(g.outputs()[i]).name;
    if (!files[i].empty()) save_npy(files[i], outputs[i]);
    if (common.json)
      list.push_back(to_json(name, outputs[i], files[i]));
    else
      print_people(name, outputs[i], files[i]);
  }
  if (common.json) print_json({{"outputs", std::move(list)}});
  return ExitCode::kOk;
}

}  // namespace

Action run_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.keep_regions = true;
  args->model.add_to(app);
  app.add_option("-i,--input", args->inputs,
                 "NAME=FILE.npy or .pb; NAME= may be left out where there is one input "
                 "(repeatable)")
      ->allow_extra_args(false);
  app.add_option("-o,--output", args->output_folder, "Folder for the results, as NAME.npy");
  args->runner.add_to(app);
  app.footer(
      "Examples:\n"
      "  espalier run net.onnx --input x.npy\n"
      "  espalier run net.onnx --input image=x.npy --input mask=m.npy -o results\n"
      "  espalier run net.onnx --input x.npy --reference     the plain loops, to compare");
  return [args](const Common& common) { return run_once(*args, common); };
}

}  // namespace espalier::cli

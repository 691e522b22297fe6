// espalier run: one inference on tensors from files.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/runner.h"
#include "cli/tensor_file.h"
#include "cli/values.h"
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

bool is_input(const Graph& g, const std::string& name) {
  return std::any_of(g.inputs().begin(), g.inputs().end(),
                     [&](ValueId v) { return g.value(v).name == name; });
}

/// NAME=FILE, or FILE alone where there is one input.
std::pair<std::string, std::string> name_and_file(const std::string& text, const Graph& g) {
  const std::string option = "--input '" + text + "'";
  if (text.empty()) throw usage_error(option, "names no file", "write --input NAME=FILE.npy");
  const size_t equals = text.find('=');
  const bool bare = equals == std::string::npos;
  if (bare && g.inputs().size() != 1)
    throw usage_error(option, "does not say which input the file is for", inputs_of(g));
  const std::string name = bare ? g.value(g.inputs()[0]).name : text.substr(0, equals);
  const std::string file = bare ? text : text.substr(equals + 1);
  if (!is_input(g, name))
    throw usage_error(option, "the network has no input '" + name + "'", inputs_of(g));
  if (file.empty()) throw usage_error(option, "names no file", "write --input NAME=FILE.npy");
  return {name, file};
}

/// What the interpreter and the compiled program would refuse too, with a word on what to do.
void check_fit(const std::string& model, const Value& input, const Datum& d) {
  if (!d.is_tensor() || !input.type.is_tensor() || fits(d, input.type)) return;
  const Tensor& t = d.tensor();
  const TensorType given(t.dtype(), t.shape());
  const TensorType& wanted = input.tensor();
  const bool types_differ = wanted.dtype != t.dtype();
  std::string extents;
  for (int64_t n : t.shape()) extents += (extents.empty() ? "" : ",") + std::to_string(n);
  throw bad_input(model + ": input '" + input.name + "'",
                  "is given as " + to_string(given) + ", the network takes " + to_string(wanted),
                  types_differ
                      ? "convert the array to " + std::string(name_of(wanted.dtype)) + " first"
                      : "reshape the array; if the network can take any extents, --shape " +
                            input.name + "=" + extents + " says which");
}

/// Values in the order of the graph's inputs.
std::vector<Datum> read_inputs(const Args& args, const Graph& g) {
  std::map<std::string, Datum> named;
  for (const auto& text : args.inputs) {
    const auto [name, file] = name_and_file(text, g);
    if (named.contains(name))
      throw usage_error("--input '" + text + "'", "gives '" + name + "' again");
    named.emplace(name, read_value_file(file, g.value(g.find(name)).type));
  }
  std::vector<Datum> values;
  for (ValueId v : g.inputs()) {
    const auto it = named.find(g.value(v).name);
    if (it == named.end())
      throw usage_error(args.model.path, "input '" + g.value(v).name + "' is not given",
                        inputs_of(g));
    check_fit(args.model.path, g.value(v), it->second);
    values.push_back(it->second);
  }
  return values;
}

Json element(const Tensor& t, int64_t i) {
  if (t.dtype() == DType::string) return t.span<std::string>()[size_t(i)];
  if (t.dtype() == DType::boolean) return t.at(i) != 0;
  if (!is_float(t.dtype())) return t.int_at(i);
  const double v = t.at(i);
  return std::isfinite(v) ? Json(v) : Json(v != v ? "nan" : v > 0 ? "inf" : "-inf");
}

/// Of the elements that are numbers.
struct Range {
  double least = INFINITY, most = -INFINITY, sum = 0;
  int64_t nan = 0;
};

Range range_of(const Tensor& t) {
  Range r;
  for (int64_t i = 0; i < t.size(); ++i) {
    const double v = t.at(i);
    if (std::isnan(v)) {
      ++r.nan;
      continue;
    }
    r.least = std::min(r.least, v);
    r.most = std::max(r.most, v);
    r.sum += v;
  }
  return r;
}

/// "least 1, mean 2, most 3; 4 of 10 are NaN".
std::string summary(const Tensor& t) {
  const Range r = range_of(t);
  if (r.nan == t.size()) return "all NaN";
  std::string text = "least " + short_number(r.least) + ", mean " +
                     short_number(r.sum / double(t.size() - r.nan)) + ", most " +
                     short_number(r.most);
  if (r.nan > 0)
    text += "; " + std::to_string(r.nan) + " of " + std::to_string(t.size()) + " are NaN";
  return text;
}

Json to_json(const std::string& name, const Tensor& t, const std::string& file) {
  Json o = {{"name", name}, {"type", to_string(TensorType(t.dtype(), t.shape()))}};
  if (!file.empty()) o["file"] = file;
  if (const int64_t nan = is_float(t.dtype()) ? range_of(t).nan : 0; nan > 0) o["nan"] = nan;
  if (t.size() <= kPrintedElements) {
    Json values = Json::array();
    for (int64_t i = 0; i < t.size(); ++i) values.push_back(element(t, i));
    o["values"] = std::move(values);
  }
  return o;
}

void print_people(const std::string& name, const Tensor& t, const std::string& file) {
  const bool text = t.dtype() == DType::string;
  std::printf("%s: %s", printable(name).c_str(),
              to_string(TensorType(t.dtype(), t.shape())).c_str());
  if (t.size() > 0 && !text) std::printf("  %s", summary(t).c_str());
  std::printf("%s%s\n", file.empty() ? "" : "  -> ", file.c_str());
  if (t.size() == 0 || t.size() > kPrintedElements) return;
  std::printf(" ");
  for (int64_t i = 0; i < t.size(); ++i)
    std::printf(
        " %s",
        (text ? printable(t.span<std::string>()[size_t(i)]) : short_number(t.at(i), 6)).c_str());
  std::printf("\n");
}

/// Where results go: files, and JSON or lines for people.
struct Reporter {
  const Args& args;
  const Common& common;

  std::string file_of(const std::string& name) const {
    if (args.output_folder.empty()) return "";
    return (fs::path(args.output_folder) / (file_name_of(name) + ".npy")).string();
  }

  /// Items of sequences are results of their own: NAME.0, NAME.1, …
  Json report(const std::string& name, const Datum& d) const {
    if (d.is_tensor()) {
      const std::string file = file_of(name);
      if (!file.empty()) refuse_overwriting(file, common);
      if (!file.empty()) save_npy(file, d.tensor());
      if (!common.json) print_people(name, d.tensor(), file);
      return common.json ? to_json(name, d.tensor(), file) : Json();
    }
    if (!common.json) std::printf("%s: %s\n", printable(name).c_str(), describe(d).c_str());
    Json items = Json::array();
    for (size_t i = 0; i < d.items().size(); ++i)
      items.push_back(report(name + "." + std::to_string(i), d.items()[i]));
    return {{"name", name}, {"type", to_string(d.type())}, {"items", std::move(items)}};
  }
};

ExitCode run_once(const Args& args, const Common& common) {
  const Graph g = args.model.load();
  const auto inputs = read_inputs(args, g);
  const Reporter reporter{args, common};
  if (!args.output_folder.empty()) {
    std::error_code failed;
    fs::create_directories(args.output_folder, failed);
    if (failed) throw bad_input(args.output_folder, "cannot be made: " + failed.message());
    for (ValueId v : g.outputs()) refuse_overwriting(reporter.file_of(g.value(v).name), common);
  }
  const auto outputs = args.runner.run(g, inputs);
  Json list = Json::array();
  for (size_t i = 0; i < outputs.size(); ++i)
    list.push_back(reporter.report(g.value(g.outputs()[i]).name, outputs[i]));
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
  app.add_option("-o,--output", args->output_folder, "Folder for the results, as NAME.npy")
      ->check(given("the folder's name"));
  args->runner.add_to(app);
  app.footer(
      "Examples:\n"
      "  espalier run net.onnx --input x.npy\n"
      "  espalier run net.onnx --input image=x.npy --input mask=m.npy -o results\n"
      "  espalier run net.onnx --input x.npy --reference     the plain loops, to compare");
  return [args](const Common& common) { return run_once(*args, common); };
}

}  // namespace espalier::cli

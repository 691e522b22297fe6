#include "cli/model_file.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/threads.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "diagram/diagram.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "onnx/export.h"
#include "passes/fuse_region.h"
#include "passes/passes.h"
#include "recipe/blueprint.h"
#include "recipe/network_file.h"
#include "recipe/weights.h"
#include "runtime/plan.h"

namespace espalier::cli {
namespace fs = std::filesystem;
namespace {

int64_t extent(const std::string& text, const std::string& option) {
  size_t used = 0;
  int64_t v = -1;
  try {
    v = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || v < 0)
    throw usage_error(option, "'" + text + "' is no extent", "a shape is written as 1,3,224,224");
  return v;
}

/// Whether some node computes with several bf16 operands, which ONNX may say and few runtimes do.
bool computes_in_bf16(const Graph& g) {
  const auto narrow = [&](ValueId v) {
    return v != kNoValue && g.value(v).type.is_tensor() && g.value(v).tensor().dtype == DType::bf16;
  };
  return std::ranges::any_of(
      g.order(), [&](NodeId id) { return std::ranges::count_if(g.node(id).inputs, narrow) > 1; });
}

}  // namespace

Graph load_model(const std::string& path, const std::map<std::string, Shape>& shapes) {
  return is_definition_file(path) ? load_blueprint(path) : read_network(path, shapes);
}

void save_model(const Graph& graph, const std::string& path) {
  const std::string suffix = fs::path(path).extension().string();
  if (suffix == ".onnx") {
    if (computes_in_bf16(graph))
      log_warning(
          path + " computes in bf16, for which other runtimes have few kernels; quantize " +
          "--precision bf16 writes bf16 weights that they can load, from the float network");
    return export_onnx(graph, path);
  }
  if (suffix == ".esp") return write_file_atomic(path, print(graph));
  if (suffix == ".plan") {
    Graph optimised = graph.compacted();
    run_passes(optimised);
    std::vector<CompileOptions> prepare(1);
    prepare[0].threads = 1;
    if (num_threads() > 1) prepare.emplace_back().threads = num_threads();
    return save_plan(optimised.compacted(), path, prepare);
  }
  if (suffix == ".safetensors") return save_weights(graph, path);
  throw usage_error(path, "has a suffix that names no network format",
                    "networks are written to .onnx, .esp, .plan and .c, weights to .safetensors");
}

bool is_picture_file(const std::string& path) { return fs::path(path).extension() == ".svg"; }

void refuse_overwriting(const std::string& path, const Common& common) {
  std::error_code ignored;
  if (!common.overwrite && fs::exists(path, ignored))
    throw usage_error(path, "exists already", "--overwrite replaces it");
}

Shape parse_shape(const std::string& text, const std::string& option) {
  Shape shape;
  std::stringstream extents(text);
  for (std::string part; std::getline(extents, part, ',');) shape.push_back(extent(part, option));
  return shape;
}

std::map<std::string, Shape> parse_shapes(const std::vector<std::string>& texts) {
  std::map<std::string, Shape> shapes;
  for (const auto& text : texts) {
    const size_t equals = text.rfind('=');
    const std::string option = "--shape " + text;
    if (equals == std::string::npos || equals == 0)
      throw usage_error(option, "names no input", "for instance --shape x=1,3,224,224");
    shapes[text.substr(0, equals)] = parse_shape(text.substr(equals + 1), option);
  }
  return shapes;
}

namespace {

/// A definition with the variables that `texts` set.
Graph load_definition(const std::string& path, const std::vector<std::string>& texts) {
  BlueprintOptions options;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == text.npos)
      throw usage_error("--variable " + text, "is not NAME=VALUE", "as in --variable width=64");
    options.variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return load_blueprint(path, options);
}

}  // namespace

void ModelOptions::add_to(CLI::App& app) {
  app.add_option("model", path,
                 std::string("A network: .onnx, .tflite, .esp, .plan, or .yaml (a definition)") +
                     (pictures ? "; or a picture of one: .svg" : ""))
      ->required()
      ->check(given("the file name"))
      ->option_text("M");
  app.add_option("--weights", weights, "Parameters for it, by name: .safetensors")
      ->check(given("the file name"))
      ->option_text("FILE");
  app.add_option("--variable", variable_texts, "A definition's variable, as width=64 (repeatable)")
      ->allow_extra_args(false)
      ->option_text("NAME=VALUE");
  app.add_option("--shape", shape_texts, "Shape of an input, as x=1,3,224,224 (repeatable)")
      ->allow_extra_args(false);
  app.add_option("--batch", batch, "Extent of open first dimensions (default 1)")
      ->transform(whole_number(1, int64_t{1} << 30));
}

Graph ModelOptions::load() const {
  const bool picture = pictures && is_picture_file(path);
  if (!variable_texts.empty() && !is_definition_file(path))
    throw usage_error("--variable", path + " is no definition",
                      "the extents of a finished network are set with --shape");
  Graph g = picture                   ? diagram::read_picture(read_file(path), path)
            : !variable_texts.empty() ? load_definition(path, variable_texts)
                                      : load_model(path, parse_shapes(shape_texts));
  if (picture && weights.empty())
    log_info(path + " is a picture: its large constants are taken as zeros");
  if (!weights.empty()) load_weights(g, weights);
  if (keep_regions || passes::expand_regions(g) == 0) return g;
  return g.compacted();
}

std::vector<Shape> ModelOptions::shapes_of(const Graph& graph) const {
  const auto given = parse_shapes(shape_texts);
  for (const auto& [name, shape] : given) {
    const ValueId v = graph.find(name);
    if (v == kNoValue || graph.value(v).producer != kNoNode || graph.is_constant(v))
      throw usage_error(path, "has no input named '" + name + "'");
  }
  std::vector<Shape> shapes;
  for (ValueId v : graph.inputs()) {
    const Value& input = graph.value(v);
    if (const auto it = given.find(input.name); it != given.end()) {
      shapes.push_back(it->second);
      continue;
    }
    if (!input.type.is_tensor())
      throw unsupported(path + ": input '" + input.name + "'",
                        "is " + to_string(input.type) + "; only tensors have a shape to be fixed",
                        "run and check take such networks");
    Shape shape;
    for (const Dim& d : input.tensor().dims) {
      if (shape.empty() && !d.known())
        shape.push_back(batch > 0 ? batch : 1);
      else if (d.known())
        shape.push_back(d.value());
      else
        throw usage_error(path + ": input '" + input.name + "'",
                          "has the open dimension " + to_string(d) + " in " + to_string(input.type),
                          "--shape " + input.name + "=… says which shape to use");
    }
    if (batch > 0 && (shape.empty() || shape[0] != batch))
      throw usage_error(path + ": input '" + input.name + "'",
                        "is " + to_string(input.type) + ", not of batch " + std::to_string(batch));
    shapes.push_back(shape);
  }
  return shapes;
}

Graph ModelOptions::load_static() const {
  const Graph graph = load();
  return specialised(graph, shapes_of(graph));
}

}  // namespace espalier::cli

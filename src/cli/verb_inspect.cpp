// espalier inspect: what a network is made of.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "base/threads.h"
#include "cli/measure.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "compress/axis_classes.h"
#include "diagram/diagram.h"
#include "diagram/dot.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "runtime/calibrate.h"
#include "runtime/program.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  ModelOptions model;
  bool dot = false, classes = false;
  std::string diagram;
  size_t boxes = diagram::DrawOptions().most_boxes;
};

Json values_json(const Graph& g, std::span<const ValueId> values) {
  Json list = Json::array();
  for (ValueId v : values)
    list.push_back({{"name", g.value(v).name}, {"type", to_string(g.value(v).type)}});
  return list;
}

/// What only networks that are a straight line have.
struct CompiledFacts {
  size_t peak = 0;                     ///< bytes
  std::optional<double> predicted_ms;  ///< where this machine was calibrated
};

CompiledFacts compiled_facts(const Graph& g) {
  CompiledFacts facts{compile(g)->arena_bytes(), std::nullopt};
  if (!g.states().empty()) return facts;
  if (const auto model = machine_cost_model(num_threads()))
    facts.predicted_ms = predicted_ms(*model, g);
  return facts;
}

Json to_json(const Args& args, const Graph& g, const ModelFacts& facts,
             const std::optional<CompiledFacts>& compiled) {
  Json nodes = Json::array();
  for (const NodeFacts& n : facts.nodes)
    nodes.push_back({{"name", n.name},
                     {"op", n.op},
                     {"output", n.output},
                     {"macs", n.macs},
                     {"params", n.params},
                     {"bytes", n.bytes}});
  const bool predicted = compiled && compiled->predicted_ms;
  return {{"model", args.model.path},
          {"name", g.name},
          {"inputs", values_json(g, g.inputs())},
          {"outputs", values_json(g, g.outputs())},
          {"params", facts.params},
          {"macs", facts.macs},
          {"weight_bytes", facts.weight_bytes},
          {"peak_activation_bytes", compiled ? Json(compiled->peak) : Json(nullptr)},
          {"predicted_ms", predicted ? Json(*compiled->predicted_ms) : Json(nullptr)},
          {"precision", precision_of(g)},
          {"depends_on_data", !compiled},
          {"nodes", std::move(nodes)}};
}

void print_values(const char* what, const Graph& g, std::span<const ValueId> values) {
  for (ValueId v : values)
    std::printf("%s %s: %s\n", what, g.value(v).name.c_str(), to_string(g.value(v).type).c_str());
}

void print_people(const Args& args, const Graph& g, const ModelFacts& facts,
                  const std::optional<CompiledFacts>& compiled) {
  std::printf("%s (%s)\n", args.model.path.c_str(), g.name.c_str());
  print_values("  input ", g, g.inputs());
  print_values("  output", g, g.outputs());
  std::printf("\n");
  Table table({"node", "operator", "result", ">params", ">MACs"});
  for (const NodeFacts& n : facts.nodes)
    table.row({n.name, n.op, n.output, n.params > 0 ? grouped(double(n.params)) : "",
               n.macs > 0 ? short_count(n.macs) : ""});
  table.print();
  const std::string activations =
      compiled ? "activations at most " + short_bytes(double(compiled->peak)) + " at once, " : "";
  std::printf("\n%s parameters, %s MACs, weights %s, %s%s\n", grouped(double(facts.params)).c_str(),
              short_count(facts.macs).c_str(), short_bytes(double(facts.weight_bytes)).c_str(),
              activations.c_str(), precision_of(g).c_str());
  if (compiled && compiled->predicted_ms)
    std::printf("predicted: %s ms on %d thread%s (espalier bench measures it)\n",
                short_number(*compiled->predicted_ms, 3).c_str(), num_threads(),
                num_threads() == 1 ? "" : "s");
  if (!compiled)
    std::printf("%s; what is not known before it runs is not counted (one iteration of loops is)\n",
                dynamics_of(g).c_str());
}

Json classes_json(const AxisClasses& found) {
  Json classes = Json::array(), pinned = Json::array();
  for (const AxisClass& c : found.classes)
    classes.push_back({{"name", c.name},
                       {"groups", c.groups.size()},
                       {"params_per_group", c.params},
                       {"macs_per_group", c.macs},
                       {"obstacle", c.obstacle()}});
  for (const PinnedAxis& p : found.pinned)
    pinned.push_back(
        {{"value", found.graph.value(p.value).name}, {"axis", p.axis}, {"reason", p.reason}});
  return {{"classes", std::move(classes)}, {"pinned", std::move(pinned)}};
}

void print_classes(const AxisClasses& found) {
  Table table(
      {"class", ">groups", ">params each", ">MACs each", "zeros cannot silence it, because"});
  for (const AxisClass& c : found.classes)
    table.row({c.name, std::to_string(c.groups.size()), grouped(c.params), short_count(c.macs),
               c.obstacle()});
  table.print();
  std::printf("\n");
  Table pins({"axis that stays", "because"});
  for (const PinnedAxis& p : found.pinned)
    pins.row({found.graph.value(p.value).name + "[" + std::to_string(p.axis) + "]", p.reason});
  pins.print();
}

ExitCode draw(const Args& args, const Common& common) {
  if (std::filesystem::path(args.diagram).extension() != ".svg")
    throw usage_error("--diagram " + args.diagram, "is no .svg file",
                      "pictures are written as SVG");
  // The marks of constants would be those of the zeros that stand for them.
  if (is_picture_file(args.model.path))
    throw usage_error(args.model.path, "is a picture already", "draw the network it was made from");
  refuse_overwriting(args.diagram, common);
  const bool fixed = args.model.batch > 0 || !args.model.shape_texts.empty();
  const Graph g = fixed ? args.model.load_static() : args.model.load();
  const std::string svg = diagram::draw(g, {.most_boxes = args.boxes});
  write_file_atomic(args.diagram, svg);
  if (common.json)
    print_json({{"model", args.model.path},
                {"diagram", args.diagram},
                {"operators", g.order().size()},
                {"bytes", svg.size()}});
  else
    std::printf("%s: %zu operators, %s\n", args.diagram.c_str(), g.order().size(),
                short_bytes(double(svg.size())).c_str());
  return ExitCode::kOk;
}

ExitCode inspect(const Args& args, const Common& common) {
  if (!args.diagram.empty()) return draw(args, common);
  if (args.classes) {
    const Graph whole = args.model.load();
    const AxisClasses found = axis_classes(whole, args.model.shapes_of(whole));
    if (common.json)
      print_json(classes_json(found));
    else
      print_classes(found);
    return ExitCode::kOk;
  }
  const Graph g = args.model.load_static();
  if (args.dot) {
    const std::string dot = diagram::to_dot(g);
    if (common.json)
      print_json({{"model", args.model.path}, {"dot", dot}});
    else
      std::fputs(dot.c_str(), stdout);
    return ExitCode::kOk;
  }
  const ModelFacts facts = facts_of(g);
  const std::string dynamics = dynamics_of(g);
  const std::optional<CompiledFacts> compiled =
      dynamics.empty() ? std::optional(compiled_facts(g)) : std::nullopt;
  if (common.json)
    print_json(to_json(args, g, facts, compiled));
  else
    print_people(args, g, facts, compiled);
  return ExitCode::kOk;
}

}  // namespace

Action inspect_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.pictures = true;
  args->model.add_to(app);
  CLI::Option* dot = app.add_flag("--dot", args->dot, "Print a Graphviz diagram instead");
  CLI::Option* classes = app.add_flag("--classes", args->classes,
                                      "Print which axes can be cut together, and which not")
                             ->excludes(dot);
  CLI::Option* diagram =
      app.add_option("--diagram", args->diagram,
                     "Write a picture of axes, broadcasting and parallel paths: .svg")
          ->check(given("the file name"))
          ->excludes(dot)
          ->excludes(classes);
  app.add_option("--boxes", args->boxes,
                 "Boxes in a picture before blocks repeated in a row are drawn once (default 200)")
      ->transform(whole_number(1, 100000))
      ->needs(diagram);
  app.footer(
      "Examples:\n"
      "  espalier inspect net.onnx\n"
      "  espalier inspect net.onnx --classes\n"
      "  espalier inspect net.onnx --batch 8 --json | jq .macs\n"
      "  espalier inspect net.onnx --dot | dot -Tsvg > dot.svg\n"
      "  espalier inspect net.onnx --diagram net.svg    every axis of every value\n"
      "  espalier inspect net.svg                       a picture reads back to its network\n"
      "MACs are multiply-accumulates of contractions. Memory is what the compiled network\n"
      "allocates for activations and scratch space. Where this machine was calibrated (espalier\n"
      "calibrate) at the same --threads, the time of one run is predicted.");
  return [args](const Common& common) { return inspect(*args, common); };
}

}  // namespace espalier::cli

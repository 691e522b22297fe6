// Neural circuit diagrams (Abbott 2024): that a picture is as exact as the network. Every network
// is drawn, its picture's source parsed back and compared; what the picture shows is counted and
// compared with what the network holds; single faults are planted, to see which show.
#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "diagram/axes.h"
#include "diagram/diagram.h"
#include "diagram/dot.h"
#include "diagram/layout.h"
#include "diagram/same.h"
#include "diagram/svg.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "recipe/blueprint.h"
#include "reproduce/diagram_counts.h"
#include "reproduce/drawn_networks.h"
#include "reproduce/planted_faults.h"
#include "reproduce/reproduce.h"

namespace espalier {
namespace {

/// Networks of more multiply-accumulates are not run: the interpreter is an oracle, not a runtime.
constexpr double kMostMacs = 2e7;

struct Tally {
  int64_t networks = 0, identical = 0, same_cost = 0, run = 0, same_outputs = 0;
  int64_t boxes = 0, axes = 0, axes_drawn = 0, links = 0, links_drawn = 0;
  int64_t broadcasts = 0, broadcasts_drawn = 0, parallel = 0, parallel_drawn = 0, overlaps = 0;
  int64_t faults = 0, in_source = 0, in_picture = 0, in_arrows = 0, in_typed_arrows = 0;
};

/// With the batch that definitions leave open set to 1.
Graph at_batch_one(const Graph& g) {
  std::vector<Shape> shapes;
  for (ValueId v : g.inputs()) {
    Shape shape;
    for (const Dim& d : g.value(v).tensor().dims) shape.push_back(d.known() ? d.value() : 1);
    shapes.push_back(std::move(shape));
  }
  return specialised(g, shapes);
}

std::vector<Tensor> random_inputs(const Graph& g, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (ValueId v : g.inputs()) {
    Tensor t(DType::f32, g.value(v).tensor().shape());
    const Rng rng(seed, stream_of("diagrams/" + g.value(v).name));
    for (int64_t i = 0; i < t.size(); ++i)
      t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
    inputs.push_back(std::move(t));
  }
  return inputs;
}

void compare_runs(const Graph& g, const Graph& back, uint64_t seed, Tally& tally) {
  const Graph a = at_batch_one(g), b = at_batch_one(back);
  const Cost x = cost_of(a), y = cost_of(b);
  tally.same_cost += x.macs == y.macs && x.flops == y.flops && x.bytes == y.bytes;
  if (x.macs > kMostMacs) return;
  ++tally.run;
  const std::vector<Tensor> inputs = random_inputs(a, seed);
  const std::vector<Tensor> p = interpret(a, inputs), q = interpret(b, inputs);
  tally.same_outputs +=
      std::ranges::equal(p, q, [](const Tensor& s, const Tensor& t) { return s.identical(t); });
}

void compare_counts(const Graph& g, const std::string& svg, Tally& tally) {
  const std::string picture = without_source(svg);
  const PictureCounts shown = counted_in_picture(picture), held = counted_in_graph(g);
  tally.boxes += int64_t(held.boxes);
  tally.axes += int64_t(held.axes);
  tally.axes_drawn += int64_t(shown.axes);
  tally.links += int64_t(held.links);
  tally.links_drawn += int64_t(shown.links);
  tally.parallel += int64_t(held.parallel);
  tally.parallel_drawn += int64_t(shown.parallel);
  tally.overlaps += int64_t(overlaps_in_picture(picture));
  for (size_t i = 0; i < held.repeats.size(); ++i) {
    if (!held.repeats[i]) continue;
    tally.broadcasts += int64_t(*held.repeats[i]);
    if (i < shown.repeats.size()) tally.broadcasts_drawn += int64_t(*shown.repeats[i]);
  }
}

std::string drawing_of(const Graph& g) {
  return diagram::to_svg(g, diagram::lay_out(g), /*source=*/"");
}

void count_faults(const Graph& g, size_t most, Tally& tally) {
  const std::string source = diagram::diagram_source(g), drawing = drawing_of(g);
  const std::string arrows = diagram::to_dot(g, false), typed = diagram::to_dot(g);
  tally.faults += int64_t(plant_faults(g, most, [&](const std::string&, const Graph& faulty) {
    tally.in_source += diagram::diagram_source(faulty) != source;
    tally.in_picture += drawing_of(faulty) != drawing;
    tally.in_arrows += diagram::to_dot(faulty, false) != arrows;
    tally.in_typed_arrows += diagram::to_dot(faulty) != typed;
  }));
}

void measure(const Graph& g, size_t most_faults, uint64_t seed, Tally& tally) {
  ++tally.networks;
  diagram::Constants kept;
  diagram::diagram_source(g, &kept);
  const std::string svg = diagram::draw(g, {.most_boxes = std::numeric_limits<size_t>::max()});
  const Graph back = diagram::read_picture(svg, g.name + ".svg", &kept);
  tally.identical += diagram::difference(g, back).empty() && violation(back).empty();
  compare_runs(g, back, seed, tally);
  compare_counts(g, svg, tally);
  count_faults(g, most_faults, tally);
}

Graph network_named(const Yaml& name, const MeasureOptions& options) {
  const std::vector<std::string> own = drawn_network_names();
  if (std::ranges::find(own, name.text()) != own.end())
    return drawn_network(name.text(), options.seed);
  return load_blueprint(zoo_path(name.text(), options.recipe),
                        {.seed = options.seed, .variables = {}});
}

}  // namespace

Findings measure_diagrams(Fields& recipe, const MeasureOptions& options) {
  const std::vector<Yaml>& names = recipe.require("networks").items();
  const int64_t faults = recipe.integer("faults", 24, 1, 10000);
  recipe.done();
  if (names.empty()) recipe.map().fail("names no networks to draw");
  Tally t;
  for (const Yaml& name : names)
    measure(network_named(name, options), size_t(faults), options.seed, t);
  Findings f;
  f.measured = {{"networks", t.networks},
                {"identical", t.identical},
                {"same_cost", t.same_cost},
                {"run", t.run},
                {"same_outputs", t.same_outputs},
                {"boxes", t.boxes},
                {"axes", t.axes},
                {"axes_drawn", t.axes_drawn},
                {"links", t.links},
                {"links_drawn", t.links_drawn},
                {"broadcast_axes", t.broadcasts},
                {"broadcast_axes_drawn", t.broadcasts_drawn},
                {"parallel_paths", t.parallel},
                {"parallel_paths_drawn", t.parallel_drawn},
                {"boxes_over_boxes", t.overlaps},
                {"faults", t.faults},
                {"faults_in_source", t.in_source},
                {"faults_in_picture", t.in_picture}};
  f.baseline = {{"faults", t.faults},
                {"faults_in_picture", t.in_arrows},
                {"faults_in_picture_with_types", t.in_typed_arrows}};
  f.holds = t.identical == t.networks && t.same_cost == t.networks && t.same_outputs == t.run &&
            t.axes_drawn == t.axes && t.links_drawn == t.links &&
            t.broadcasts_drawn == t.broadcasts && t.parallel_drawn == t.parallel &&
            t.overlaps == 0 && t.in_source == t.faults && t.in_arrows < t.faults;
  return f;
}

}  // namespace espalier

#include "recipe/fit_candidates.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/threads.h"
#include "compress/half_precision.h"
#include "compress/quantize.h"
#include "ir/builder.h"
#include "ir/count.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "runtime/session.h"

namespace espalier {
namespace {

Graph at(const Graph& graph, const Shape& input) {
  return specialised(graph, std::vector<Shape>{input});
}

/// Inputs of the network's types, filled with a fixed pattern.
std::vector<Tensor> pattern_inputs(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (ValueId v : graph.inputs()) {
    Tensor wide(DType::f64, graph.value(v).tensor().shape());
    for (int64_t i = 0; i < wide.size(); ++i)
      wide.mutable_data<double>()[i] = double(i % 17) / 8 - 1;
    inputs.push_back(wide.cast(graph.value(v).tensor().dtype));
  }
  return inputs;
}

struct ThreadCount {
  explicit ThreadCount(int n) : before(num_threads()) { set_num_threads(n); }
  ~ThreadCount() { set_num_threads(before); }
  int before;
};

}  // namespace

NetworkCost network_cost(const Graph& graph, const Shape& input, int threads) {
  NetworkCost cost;
  const Graph fixed = at(graph, input);
  cost.macs = cost_of(fixed).macs / double(input[0]);
  cost.weight_bytes = double(constant_bytes(graph));
  cost.params = double(parameter_count(graph));
  cost.memory_bytes = double(compile(fixed, {.threads = threads})->arena_bytes());
  return cost;
}

Graph lowered(const Graph& float_graph, const std::string& precision) {
  Graph prepared = prepared_for_quantization(float_graph);
  if (precision == "f32") return prepared;
  if (precision == "bf16") return to_bf16(prepared);
  throw usage_error("precision '" + precision + "'", "is not known", "known: f32, bf16, int8");
}

FitNetwork quantised(const Graph& float_graph, const Dataset& calibration,
                     const Int8Options& options,
                     const std::function<double(const Graph&)>& accuracy) {
  FitNetwork network;
  network.precision = "int8";
  const Graph prepared = prepared_for_quantization(float_graph);
  Calibrator calibrator(prepared, range_method(options.method));
  const auto samples = calibration_batches(prepared, calibration, options.calibration_samples);
  for (const auto& inputs : samples) calibrator.observe(inputs);
  const Ranges ranges = calibrator.ranges();
  network.graph = quantize(prepared, ranges);
  if (accuracy(network.graph) >= options.least_accuracy) return network;

  // Layers go back to float, worst first, twice as many each time.
  const auto worst = sensitivity(
      prepared, ranges,
      {samples.begin(), samples.begin() + std::min<int64_t>(2, int64_t(samples.size()))});
  for (size_t back = 1; back <= worst.size() / 2; back *= 2) {
    std::set<std::string> exclude;
    for (size_t i = 0; i < back; ++i) exclude.insert(worst[i].layer);
    network.graph = quantize(prepared, ranges, exclude);
    network.notes.clear();
    for (const auto& name : exclude)
      network.notes.push_back("layer '" + name + "' stays in float: int8 costs too much accuracy");
    if (accuracy(network.graph) >= options.least_accuracy) break;
  }
  return network;
}

std::vector<Timing> time_networks(const std::vector<const Graph*>& graphs, const Shape& input,
                                  int threads, int rounds) {
  const ThreadCount scope(threads);
  struct Contender {
    Session session;
    std::vector<Tensor> inputs, outputs;
  };
  std::vector<std::unique_ptr<Contender>> contenders;
  std::vector<std::function<void()>> runs;
  for (const Graph* graph : graphs) {
    const Graph fixed = at(*graph, input);
    auto c = std::make_unique<Contender>(
        Contender{Session(compile(fixed, {.threads = threads})), pattern_inputs(fixed), {}});
    c->outputs = c->session.run(c->inputs);
    runs.push_back([p = c.get()] { p->session.run_into(p->inputs, p->outputs); });
    contenders.push_back(std::move(c));
  }
  return time_alternating(runs, {.rounds = rounds});
}

namespace {

struct LayerFacts {
  std::string op, precision;
  double macs = 0, ms = 0;
  int64_t channels = 0;
};

using Forms = std::vector<std::pair<std::string, QuantForm>>;

/// Contractions with weights, by name, in order.
Forms contractions(const Graph& graph) {
  Forms forms;
  for (NodeId id : graph.order()) {
    const Node& n = graph.node(id);
    if (n.name.empty() || !n.room->quantize.answered()) continue;
    const QuantForm form = (*n.room->quantize)(n.attrs, types_in(graph, id));
    if (form.weight >= 0) forms.emplace_back(n.name, form);
  }
  return forms;
}

/// What these contractions have become in a graph.
std::map<std::string, LayerFacts> layers_of(const Graph& graph, const Forms& forms,
                                            const Shape& input, int threads) {
  const Graph fixed = at(graph, input);
  std::map<std::string, NodeId> by_name;
  for (NodeId id : fixed.order()) by_name[fixed.node(id).name] = id;
  const ThreadCount scope(threads);
  Session session(compile(fixed, {.threads = threads, .profile = true}));
  const auto inputs = pattern_inputs(fixed);
  for (int i = 0; i < 30; ++i) session.run(inputs);
  std::map<std::string, LayerFacts> layers;
  for (const auto& [name, form] : forms) {
    const auto it = by_name.find(name);
    if (it == by_name.end()) continue;
    const Node& n = fixed.node(it->second);
    LayerFacts facts;
    facts.op = n.room->full_name();
    facts.macs = cost_of(fixed, it->second).macs;
    const ValueId w = n.inputs[size_t(form.weight)];
    facts.channels = fixed.value(w).tensor().shape()[size_t(form.weight_axis)];
    facts.precision = fixed.is_constant(w)
                          ? std::string(name_of(fixed.value(n.outputs[0]).tensor().dtype))
                          : "int8";
    for (const ProfileEntry& entry : session.profile().entries)
      if (entry.node.ends_with("'" + name + "'")) facts.ms += entry.median_us() / 1000;
    layers[name] = std::move(facts);
  }
  return layers;
}

}  // namespace

std::vector<FitLayer> compare_layers(const Graph& before, const Graph& after, const Shape& input,
                                     int threads) {
  std::vector<FitLayer> rows;
  const Forms forms = contractions(at(before, input));
  auto then = layers_of(before, forms, input, threads);
  auto now = layers_of(after, forms, input, threads);
  for (const auto& [name, form] : forms) {
    const LayerFacts &was = then[name], &is = now[name];
    rows.push_back(
        {name, was.op, was.macs, is.macs, was.channels, is.channels, was.ms, is.ms, is.precision});
  }
  return rows;
}

}  // namespace espalier

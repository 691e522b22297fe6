#include "recipe/fit_candidates.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/threads.h"
#include "compress/half_precision.h"
#include "compress/quantize.h"
#include "ir/builder.h"
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
  for (ValueId v : graph.constants()) {
    const Value& value = graph.value(v);
    cost.weight_bytes += double(value.constant->bytes());
    if (value.role == Role::kParameter) cost.params += double(value.constant->size());
  }
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
  std::string op, precision = "f32";
  double macs = 0, ms = 0;
  int64_t channels = 0;
};

/// Contractions by name, in order.
std::vector<std::pair<std::string, LayerFacts>> layers_of(const Graph& graph, const Shape& input,
                                                          int threads) {
  const Graph fixed = at(graph, input);
  std::vector<std::pair<std::string, LayerFacts>> layers;
  for (NodeId id : fixed.order()) {
    const Node& n = fixed.node(id);
    if (n.name.empty() || !n.room->quantize.answered()) continue;
    const QuantForm form = (*n.room->quantize)(n.attrs, types_in(fixed, id));
    if (form.weight < 0) continue;
    LayerFacts facts;
    facts.op = n.room->full_name();
    facts.macs = cost_of(fixed, id).macs;
    const ValueId w = n.inputs[size_t(form.weight)];
    facts.channels = fixed.value(w).tensor().shape()[size_t(form.weight_axis)];
    if (fixed.value(n.outputs[0]).tensor().dtype != DType::f32)
      facts.precision = name_of(fixed.value(n.outputs[0]).tensor().dtype);
    if (!fixed.is_constant(w)) facts.precision = "int8";
    layers.emplace_back(n.name, facts);
  }
  const ThreadCount scope(threads);
  Session session(compile(fixed, {.threads = threads, .profile = true}));
  const auto inputs = pattern_inputs(fixed);
  for (int i = 0; i < 30; ++i) session.run(inputs);
  for (auto& [name, facts] : layers)
    for (const ProfileEntry& entry : session.profile().entries)
      if (entry.node.ends_with("'" + name + "'")) facts.ms += entry.median_us() / 1000;
  return layers;
}

}  // namespace

std::vector<FitLayer> compare_layers(const Graph& before, const Graph& after, const Shape& input,
                                     int threads) {
  std::map<std::string, LayerFacts> now;
  for (auto& [name, facts] : layers_of(after, input, threads)) now[name] = facts;
  std::vector<FitLayer> rows;
  for (const auto& [name, facts] : layers_of(before, input, threads)) {
    FitLayer row;
    row.name = name;
    row.op = facts.op;
    row.macs_before = facts.macs;
    row.channels_before = facts.channels;
    row.ms_before = facts.ms;
    if (const auto it = now.find(name); it != now.end()) {
      row.macs_after = it->second.macs;
      row.channels_after = it->second.channels;
      row.ms_after = it->second.ms;
      row.precision = it->second.precision;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace espalier

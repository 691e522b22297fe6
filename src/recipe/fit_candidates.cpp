#include "recipe/fit_candidates.h"

#include <algorithm>
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
#include "recipe/layer_times.h"
#include "runtime/program.h"

namespace espalier {
namespace {

Graph at(const Graph& graph, const Shape& input) {
  return specialised(graph, std::vector<Shape>{input});
}

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
  const auto worst = sensitivity(prepared, ranges, samples);
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
  std::vector<Graph> fixed;
  for (const Graph* graph : graphs) fixed.push_back(at(*graph, input));
  return time_fixed(fixed, threads, rounds);
}

std::vector<FitLayer> compare_layers(const Graph& before, const Graph& after, const Shape& input,
                                     int threads) {
  std::vector<FitLayer> rows;
  const Graph first = at(before, input);
  const auto names = contraction_names(first);
  auto then = layer_facts(first, names, threads);
  auto now = layer_facts(at(after, input), names, threads);
  for (const auto& name : names) {
    const LayerFacts &was = then[name], &is = now[name];
    rows.push_back(
        {name, was.op, was.macs, is.macs, was.channels, is.channels, was.ms, is.ms, is.precision});
  }
  return rows;
}

}  // namespace espalier

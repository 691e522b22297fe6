#include "recipe/choose_precision.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "compress/half_precision.h"
#include "compress/output_error.h"
#include "compress/quantize.h"
#include "compress/quantize_plan.h"
#include "ir/derive.h"
#include "ir/integer_coding.h"
#include "ir/interpret.h"
#include "recipe/layer_times.h"
#include "runtime/session.h"

namespace espalier {
namespace {

using Batches = std::vector<std::vector<Tensor>>;

/// Stands in where there are no data: normal numbers, zeros for what may be indices.
Batches noise(const Graph& graph) {
  constexpr uint64_t kBatches = 4;
  Batches batches;
  for (uint64_t b = 0; b < kBatches; ++b) {
    auto& inputs = batches.emplace_back();
    for (ValueId v : graph.inputs()) {
      const TensorType& type = graph.value(v).tensor();
      Tensor t(is_float(type.dtype) ? DType::f32 : type.dtype, type.shape());
      const Rng rng = Rng(0, b).fork(inputs.size());
      if (is_float(type.dtype))
        for (int64_t i = 0; i < t.size(); ++i)
          t.mutable_data<float>()[i] = float(rng.normal(uint64_t(i)));
      inputs.push_back(t.cast(type.dtype));
    }
  }
  return batches;
}

class Chooser {
 public:
  Chooser(const Graph& graph, std::span<const Shape> shapes,
          std::span<const std::vector<Tensor>> data, const PrecisionOptions& options)
      : options_(options),
        shapes_(shapes),
        float_(prepared_for_quantization(graph)),
        calibration_(every_other(data, 0)),
        judge_(float_, judged_on(data)) {}

  PrecisionChoice run() && {
    choice_.batches = int64_t(judge_.batches().size());
    add("f32", float_);
    if (options_.bf16) add("bf16", to_bf16(float_));
    if (calibration_.empty())
      choice_.notes.push_back(
          "int8 was left out and errors are those on random numbers: no data were given");
    else if (const auto layers = quantizable_layers(float_); layers.empty())
      choice_.notes.push_back("int8 was left out: no contraction has constant weights");
    else
      add_integers();
    choose();
    tell_layers();
    return std::move(choice_);
  }

 private:
  static Batches every_other(std::span<const std::vector<Tensor>> data, size_t first) {
    Batches batches;
    for (size_t i = first; i < data.size(); i += 2) batches.push_back(data[i]);
    return batches;
  }
  Batches judged_on(std::span<const std::vector<Tensor>> data) {
    if (data.empty()) return noise(fixed(float_));
    if (data.size() > 1) return every_other(data, 1);
    choice_.notes.push_back("one batch of data both calibrates and judges");
    return {data.begin(), data.end()};
  }

  Graph fixed(const Graph& graph) const { return specialised(graph, shapes_); }

  void add(const std::string& name, Graph graph) {
    PrecisionCandidate c{name, std::move(graph), 0, {}, true};
    if (name != "f32") c.relative_error = judge_.of(c.graph);
    c.fits = c.relative_error <= options_.max_error;
    choice_.candidates.push_back(std::move(c));
  }

  /// Everything on integers, and each layer in what it is fastest in, what has no integer form
  /// (attention's products) in bf16; layers that cost the most accuracy leave the integers until
  /// the error is allowed.
  void add_integers() {
    Calibrator calibrator(float_, options_.method);
    for (const auto& inputs : calibration_) calibrator.observe(inputs);
    ranges_ = calibrator.ranges();
    add("int8", quantize(float_, ranges_));
    measure_layers();
    const auto slow = slower_on_integers();
    std::set<std::string> out(slow.begin(), slow.end());
    Graph mixed = beside(out);
    const double error = out.empty() && !choice_.candidates.back().fits
                             ? choice_.candidates.back().relative_error
                             : judge_.of(mixed);
    if (error > options_.max_error)
      leave_integers(
          sensitivity(float_, ranges_, judge_.batches()), options_.max_error, judge_,
          [&](const auto& without) { return beside(without); }, out, mixed);
    const bool as_before = out.empty() && !bf16_beside();
    if (as_before || out.size() == quantizable_layers(float_).size()) return;
    add("mixed", std::move(mixed));
  }

  /// The network with these layers off the integers: in bf16 where they are faster in it. So are
  /// contractions of two activations, which are never on integers.
  Graph beside(const std::set<std::string>& out) const {
    Graph g = quantize(float_, ranges_, out);
    if (!options_.bf16) return g;
    std::set<std::string> f32;
    for (const LayerPrecision& l : choice_.layers)
      if (out.contains(l.layer) && !faster(l, "bf16", "f32")) f32.insert(l.layer);
    return f32.size() == out.size() && !bf16_beside() ? g : to_bf16_beside(g, f32);
  }

  /// Whether contractions that have no integer form can take bf16.
  bool bf16_beside() const {
    const auto quantizable = quantizable_layers(float_);
    return options_.bf16 && std::ranges::any_of(choice_.layers, [&](const LayerPrecision& l) {
             return !std::ranges::count(quantizable, l.layer);
           });
  }

  static bool faster(const LayerPrecision& l, const std::string& one, const std::string& than) {
    const auto a = l.ms.find(one), b = l.ms.find(than);
    return a != l.ms.end() && b != l.ms.end() && a->second < b->second;
  }

  /// The time of each layer in the networks of one precision.
  void measure_layers() {
    const auto names = contraction_names(fixed(float_), Contractions::kAll);
    std::map<std::string, std::string> layer_of;
    for (NodeId id : float_.order()) layer_of[float_.node(id).name] = layer_name(float_, id);
    for (const auto& name : names) choice_.layers.push_back({layer_of[name], "", "f32", {}});
    for (const PrecisionCandidate& c : choice_.candidates) {
      const auto facts = layer_facts(fixed(c.graph), names, options_.threads);
      for (size_t i = 0; i < names.size(); ++i) {
        const auto it = facts.find(names[i]);
        if (it == facts.end()) continue;
        choice_.layers[i].op = it->second.op;
        if (it->second.ms > 0) choice_.layers[i].ms[c.name] = it->second.ms;
      }
    }
  }

  std::vector<std::string> slower_on_integers() const {
    const auto quantizable = quantizable_layers(float_);
    std::vector<std::string> slow;
    for (const LayerPrecision& l : choice_.layers)
      if (std::ranges::count(quantizable, l.layer) &&
          (faster(l, "f32", "int8") || faster(l, "bf16", "int8")))
        slow.push_back(l.layer);
    return slow;
  }

  void choose() {
    std::vector<Graph> graphs;
    for (const PrecisionCandidate& c : choice_.candidates) graphs.push_back(fixed(c.graph));
    const auto times = time_fixed(graphs, options_.threads, options_.rounds);
    for (size_t i = 0; i < times.size(); ++i) {
      PrecisionCandidate& c = choice_.candidates[i];
      c.timing = times[i];
      const double best = choice_.best().timing.median_ms;
      if (c.fits && c.timing.median_ms < best) choice_.chosen = i;
    }
  }

  void tell_layers() {
    if (choice_.layers.empty()) measure_layers();
    const auto names = contraction_names(fixed(float_), Contractions::kAll);
    const auto facts = layer_facts(fixed(choice_.best().graph), names, options_.threads);
    for (size_t i = 0; i < names.size(); ++i)
      if (const auto it = facts.find(names[i]); it != facts.end())
        choice_.layers[i].precision = it->second.precision;
  }

  const PrecisionOptions& options_;
  const std::span<const Shape> shapes_;
  PrecisionChoice choice_;
  const Graph float_;
  const Batches calibration_;
  OutputError judge_;
  Ranges ranges_;
};

}  // namespace

PrecisionChoice choose_precision(const Graph& graph, std::span<const Shape> shapes,
                                 std::span<const std::vector<Tensor>> data,
                                 const PrecisionOptions& options) {
  if (const NodeId id = integer_coding(graph); id != kNoNode)
    throw unsupported(
        graph.name,
        "is quantised to integers already: " + describe(graph, id) + " reads or writes them",
        "choose a precision for the float network it was made from");
  return Chooser(graph, shapes, data, options).run();
}

}  // namespace espalier

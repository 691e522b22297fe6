#include "compress/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "compress/optional_results.h"
#include "compress/quantize_plan.h"
#include "ir/builder.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "passes/passes.h"

namespace espalier {
namespace {

constexpr float kLevelsU8 = 255, kLevelsS8 = 127;

/// How one tensor is stored in integers.
struct Coding {
  Tensor scale;
  Tensor zero_point;
};

float scale_of(double magnitude, float levels) {
  const auto scale = float(magnitude / double(levels));
  // A range of nothing, or one whose scale would be denormal, is represented by any scale.
  return scale >= std::numeric_limits<float>::min() ? scale : 1.0f;
}

Coding coding_of(const ValueRange& range) {
  if (range.non_negative())
    return {Tensor::scalar(scale_of(range.magnitude, kLevelsU8)), Tensor(DType::u8, {})};
  return {Tensor::scalar(scale_of(range.magnitude, kLevelsS8)), Tensor(DType::i8, {})};
}

template <class T>
T to_integer(double x, double lowest, double highest) {
  return T(std::clamp(std::nearbyint(x), lowest, highest));
}

class Quantizer {
 public:
  Quantizer(const Graph& prepared, const Ranges& ranges, const std::set<std::string>& exclude)
      : g_(prepared.compacted()), ranges_(ranges), plan_(plan_quantization(g_, exclude)), b_(g_) {}

  Graph run() && {
    const std::vector<ValueId> outputs(g_.outputs().begin(), g_.outputs().end());
    for (ValueId v : plan_.activations) store(v);
    for (NodeId id : plan_.layers) store_weights(id);
    g_.set_outputs(outputs);
    g_.sort();
    g_.erase_dead();
    g_ = g_.compacted();
    verify(g_, "quantize");
    return std::move(g_);
  }

 private:
  const ValueRange& range(ValueId v) const {
    const auto it = ranges_.find(g_.value(v).name);
    if (it == ranges_.end())
      throw bad_input("value '" + g_.value(v).name + "'", "was not calibrated",
                      "calibrate the network that is quantised");
    if (!std::isfinite(it->second.magnitude))
      throw bad_input("value '" + it->first + "'", "holds infinity",
                      "look for weights that diverged in training");
    return it->second;
  }

  /// Readers of `v` read it back from integers.
  void store(ValueId v) {
    const std::string name = g_.value(v).name;
    const Coding coding = coding_of(range(plan_.scale_owner.at(v)));
    const ValueId scale = b_.constant(coding.scale, fresh(name + "_scale"));
    const ValueId zero = b_.constant(coding.zero_point, fresh(name + "_zero_point"));
    scale_of_[v] = coding.scale.at(0);
    std::vector<NodeId> readers;
    for (NodeId id : g_.order())
      if (std::ranges::count(g_.node(id).inputs, v)) readers.push_back(id);
    const ValueId q =
        b_.op("QuantizeLinear", {v, scale, zero}, {}, "", {fresh(name + "_quantized")}).at(0);
    const ValueId back =
        b_.op("DequantizeLinear", {q, scale, zero}, {}, "", {fresh(name + "_dequantized")}).at(0);
    for (NodeId id : readers) std::ranges::replace(g_.mutable_node(id).inputs, v, back);
    restored_[back] = v;
  }

  void store_weights(NodeId id) {
    const QuantForm form = *quant_form(g_, id);
    const ValueId w = g_.node(id).inputs[size_t(form.weight)];
    const Tensor weight = *g_.value(w).constant;
    std::vector<float> scales = channel_scales(weight, form.weight_axis);
    const double x_scale =
        scale_of_.at(restored_.at(g_.node(id).inputs[size_t(form.activations[0])]));
    const ValueId bias = constant_bias(id, form);
    if (bias != kNoValue) make_room_for_bias(scales, *g_.value(bias).constant, x_scale);
    g_.mutable_node(id).inputs[size_t(form.weight)] = stored_weight(w, weight, form, scales);
    if (bias != kNoValue)
      g_.mutable_node(id).inputs[size_t(form.bias)] = stored_bias(bias, scales, x_scale);
  }

  ValueId constant_bias(NodeId id, const QuantForm& form) const {
    if (form.bias < 0 || size_t(form.bias) >= g_.node(id).inputs.size()) return kNoValue;
    const ValueId bias = g_.node(id).inputs[size_t(form.bias)];
    return bias != kNoValue && g_.is_constant(bias) ? bias : kNoValue;
  }

  /// A bias is stored in units of the sum, 32 bits wide. Where a channel's weights are so small
  /// that it would not fit, they are stored more coarsely.
  static void make_room_for_bias(std::vector<float>& scales, const Tensor& bias, double x_scale) {
    if (bias.size() != int64_t(scales.size())) return;
    constexpr double kReach = 1 << 30;
    for (size_t i = 0; i < scales.size(); ++i)
      scales[i] = std::max(scales[i], float(std::abs(bias.at(int64_t(i))) / (x_scale * kReach)));
  }

  static std::vector<float> channel_scales(const Tensor& w, int axis) {
    const int64_t extent = w.shape()[size_t(axis)];
    const int64_t inner = product(w.shape(), size_t(axis) + 1, w.shape().size());
    std::vector<double> largest(size_t(extent), 0);
    for (int64_t i = 0; i < w.size(); ++i) {
      double& m = largest[size_t(i / inner % extent)];
      m = std::max(m, std::abs(w.at(i)));
    }
    std::vector<float> scales;
    for (double m : largest) scales.push_back(scale_of(m, kLevelsS8));
    return scales;
  }

  ValueId stored_weight(ValueId w, const Tensor& weight, const QuantForm& form,
                        const std::vector<float>& scales) {
    const auto key = std::pair(w, form.weight_axis);
    if (const auto it = weights_.find(key); it != weights_.end()) return it->second;
    const auto channels = int64_t(scales.size());
    const int64_t inner =
        product(weight.shape(), size_t(form.weight_axis) + 1, weight.shape().size());
    Tensor q(DType::i8, weight.shape());
    for (int64_t i = 0; i < weight.size(); ++i)
      q.mutable_data<int8_t>()[i] = to_integer<int8_t>(
          weight.at(i) / double(scales[size_t(i / inner % channels)]), -kLevelsS8, kLevelsS8);
    const std::string name = g_.value(w).name;
    const ValueId stored = g_.add_constant(fresh(name + "_quantized"), q, Role::kParameter);
    const ValueId scale =
        b_.constant(Tensor::from<float>({channels}, std::span(scales)), fresh(name + "_scale"));
    const ValueId zero = b_.constant(Tensor(DType::i8, {channels}), fresh(name + "_zero_point"));
    return weights_[key] =
               b_.op("DequantizeLinear", {stored, scale, zero},
                     {{"axis", int64_t{form.weight_axis}}}, "", {fresh(name + "_dequantized")})
                   .at(0);
  }

  /// i32 in units of the sum, one scale per channel; stored as a plain list.
  ValueId stored_bias(ValueId bias, const std::vector<float>& weight_scales, double x_scale) {
    const Tensor& value = *g_.value(bias).constant;
    const auto channels = int64_t(weight_scales.size());
    if (value.size() != channels) return bias;
    Tensor q(DType::i32, {channels});
    std::vector<float> scales;
    for (int64_t i = 0; i < channels; ++i) {
      scales.push_back(float(x_scale * double(weight_scales[size_t(i)])));
      q.mutable_data<int32_t>()[i] = to_integer<int32_t>(value.at(i) / double(scales.back()),
                                                         std::numeric_limits<int32_t>::min(),
                                                         std::numeric_limits<int32_t>::max());
    }
    const std::string name = g_.value(bias).name;
    const ValueId stored = g_.add_constant(fresh(name + "_quantized"), q, Role::kParameter);
    const ValueId scale =
        b_.constant(Tensor::from<float>({channels}, std::span(scales)), fresh(name + "_scale"));
    return b_
        .op("DequantizeLinear", {stored, scale}, {{"axis", int64_t{0}}}, "",
            {fresh(name + "_dequantized")})
        .at(0);
  }

  std::string fresh(const std::string& name) const { return g_.fresh_name(name); }

  Graph g_;
  const Ranges& ranges_;
  QuantizationPlan plan_;
  Builder b_;
  std::map<ValueId, double> scale_of_;
  std::map<ValueId, ValueId> restored_;  ///< dequantised value -> the float value it stands for
  std::map<std::pair<ValueId, int>, ValueId> weights_;
};

/// How many batches like this one tell layers apart: two, or as many as hold eight samples.
size_t enough_to_rank(const std::vector<Tensor>& batch) {
  constexpr int64_t kLeast = 2, kSamples = 8;
  const bool counted = !batch.empty() && batch[0].rank() > 0 && batch[0].shape()[0] > 0;
  return size_t(std::max(kLeast, counted ? kSamples / batch[0].shape()[0] : kSamples));
}

}  // namespace

Graph prepared_for_quantization(const Graph& graph) {
  Graph g = graph.compacted();
  const std::vector<std::string> order = {"fold_constants", "fold_identity", "fold_batch_norm",
                                          "fold_constants", "remove_dead"};
  drop_unread_results(g);
  run_passes(g, {}, order);
  return g.compacted();
}

std::vector<std::string> quantizable_layers(const Graph& prepared) {
  const Graph g = prepared.compacted();
  std::vector<std::string> names;
  for (NodeId id : plan_quantization(g, {}).layers) names.push_back(layer_name(g, id));
  return names;
}

Graph quantize(const Graph& prepared, const Ranges& ranges, const std::set<std::string>& exclude) {
  const auto layers = quantizable_layers(prepared);
  for (const std::string& name : exclude)
    if (std::ranges::find(layers, name) == layers.end())
      throw usage_error("layer '" + name + "'", "is none that could be quantised",
                        layers.empty() ? "the network has no contraction with constant weights"
                                       : "layers are named like '" + layers[0] + "'");
  return Quantizer(prepared, ranges, exclude).run();
}

std::vector<LayerError> sensitivity(const Graph& prepared, const Ranges& ranges,
                                    std::span<const std::vector<Tensor>> batches) {
  if (batches.empty()) throw bad_input("sensitivity", "no samples were given");
  const auto samples = batches.first(std::min(batches.size(), enough_to_rank(batches.front())));
  const OutputError judge(prepared, samples);
  const auto layers = quantizable_layers(prepared);
  std::vector<LayerError> errors;
  for (const std::string& layer : layers) {
    std::set<std::string> others(layers.begin(), layers.end());
    others.erase(layer);
    errors.push_back({layer, judge.of(quantize(prepared, ranges, others))});
  }
  std::ranges::stable_sort(errors, std::greater{}, &LayerError::relative_error);
  return errors;
}

double leave_integers(std::span<const LayerError> worst, double max_error, const OutputError& judge,
                      const std::function<Graph(const std::set<std::string>&)>& lower,
                      std::set<std::string>& out, Graph& lowered) {
  double error = judge.of(lowered);
  for (size_t back = 1; error > max_error && back < 2 * worst.size(); back *= 2) {
    for (size_t i = 0; i < std::min(back, worst.size()); ++i) out.insert(worst[i].layer);
    lowered = lower(out);
    error = judge.of(lowered);
  }
  return error;
}

}  // namespace espalier

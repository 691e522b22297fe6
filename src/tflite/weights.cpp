#include "tflite/weights.h"

#include <algorithm>
#include <limits>

namespace espalier::tflite {
namespace {

struct Layout {
  std::string name;
  std::vector<int64_t> permutation;
};

const Layout& layout_of(WeightUse use) {
  static const Layout layouts[] = {{"conv", to_channels_first(4)},
                                   {"depthwise", {3, 0, 1, 2}},
                                   {"transposed", {3, 0, 1, 2}},
                                   {"", {}}};
  return layouts[size_t(use)];
}

/// Integers with a zero point of 0, signed, where they all fit.
bool centre(Tensor& weight, const Quantization& q, int64_t axis) {
  const bool centred =
      std::all_of(q.zero_points.begin(), q.zero_points.end(), [](int64_t z) { return z == 0; });
  if (weight.dtype() == DType::i8 && centred) return true;
  if (weight.dtype() != DType::u8 && weight.dtype() != DType::i8) return false;
  const int64_t inner = product(weight.shape(), size_t(axis) + 1, weight.shape().size());
  Tensor moved(DType::i8, weight.shape());
  for (int64_t i = 0; i < weight.size(); ++i) {
    const size_t channel = q.scales.size() > 1 ? size_t(i / inner) % q.scales.size() : 0;
    const int64_t v = weight.int_at(i) - q.zero_points[channel];
    if (v < -128 || v > 127) return false;
    moved.mutable_data<int8_t>()[i] = int8_t(v);
  }
  weight = std::move(moved);
  return true;
}

ValueId quantised_weight(const Operator& o, int32_t t, Tensor weight, int64_t axis) {
  Lowering& l = o.l;
  const Quantization& q = *l.info(t).quantization;
  const bool centred = centre(weight, q, axis);
  const std::string name = l.name_of(t);
  const auto count = int64_t(q.scales.size());
  const Shape shape = count == 1 ? Shape{} : Shape{count};
  Tensor zero(weight.dtype(), shape);
  if (!centred) {
    std::vector<int64_t> points = q.zero_points;
    zero = Tensor::from<int64_t>(shape, std::span<const int64_t>(points)).cast(weight.dtype());
  }
  const ValueId stored = l.parameter(std::move(weight), name);
  const ValueId scale = l.graph().add_constant(l.graph().fresh_name(name + "_scale"),
                                               Tensor::from<float>(shape, std::span(q.scales)));
  const ValueId point =
      l.graph().add_constant(l.graph().fresh_name(name + "_zero_point"), std::move(zero));
  AttributeMap attributes;
  if (count > 1) attributes["axis"] = axis;
  return l.b().one("DequantizeLinear", {stored, scale, point}, attributes);
}

}  // namespace

ValueId prepared_weight(const Operator& o, int32_t t, WeightUse use) {
  Lowering& l = o.l;
  const Layout& layout = layout_of(use);
  const auto key = std::pair(t, "weight " + layout.name);
  if (const auto it = l.prepared.find(key); it != l.prepared.end()) return it->second;
  const int64_t rank = use == WeightUse::kMatrix ? 2 : 4;
  const TensorInfo& info = l.info(t);
  if (int64_t(info.shape.size()) != rank)
    o.fail("its weight is " + to_string(info.shape) + ", " + std::to_string(rank) +
           " axes are needed");
  if (use == WeightUse::kDepthwise && info.shape[0] != 1)
    o.fail("its weight is " + to_string(info.shape) + ", the first axis must be 1");
  if (!info.constant) {
    const ValueId v = l.real(t);
    const ValueId moved = rank == 2 ? v : l.transposed(v, layout.permutation);
    // A constant that was computed (widened from 16 bits, say) is stored as it is read.
    return moved;
  }
  Tensor weight = *info.constant;
  if (rank == 4) weight = permuted(weight, layout.permutation);
  const DType d = weight.dtype();
  if (d == DType::f16 || d == DType::bf16) weight = weight.cast(DType::f32);
  ValueId v = kNoValue;
  if (l.quantised(t)) {
    int64_t axis = info.quantization->axis;
    if (rank == 4)
      axis = std::find(layout.permutation.begin(), layout.permutation.end(), axis) -
             layout.permutation.begin();
    v = quantised_weight(o, t, std::move(weight), axis);
  } else {
    v = l.parameter(std::move(weight), l.name_of(t));
  }
  return l.prepared[key] = v;
}

ValueId prepared_bias(const Operator& o, int32_t t, int32_t x, int32_t w, int64_t channels) {
  if (t < 0) return kNoValue;
  Lowering& l = o.l;
  const TensorInfo& info = l.info(t);
  const DType d = element_type(info.type, o.where);
  if (!info.constant || is_float(d)) return l.real(t);
  if (d != DType::i32 && d != DType::i64)
    o.fail("its bias is " + std::string(name_of(d)) + ", floats or wide integers are needed");
  if (info.constant->size() != channels || info.shape.size() != 1)
    o.fail("its bias is " + to_string(info.shape) + " for " + std::to_string(channels) +
           " channels");
  if (!l.quantised(x) || !l.quantised(w) || l.info(x).quantization->scales.size() != 1)
    o.fail("its bias is of integers, its operands are not");
  const float unit = l.info(x).quantization->scales[0];
  const std::vector<float>& weight_scales = l.info(w).quantization->scales;
  std::vector<float> scales(size_t(channels), 0);
  if (weight_scales.size() != 1 && weight_scales.size() != scales.size())
    o.fail("its weight has " + std::to_string(weight_scales.size()) + " scales for " +
           std::to_string(channels) + " channels");
  for (size_t i = 0; i < scales.size(); ++i)
    scales[i] = unit * weight_scales[weight_scales.size() > 1 ? i : 0];
  const std::string name = l.name_of(t);
  const Tensor& bias = *info.constant;
  bool fits = true;
  for (int64_t i = 0; i < bias.size(); ++i)
    fits = fits && bias.int_at(i) >= std::numeric_limits<int32_t>::min() &&
           bias.int_at(i) <= std::numeric_limits<int32_t>::max();
  if (!fits) {
    Tensor real(DType::f32, info.shape);
    for (int64_t i = 0; i < bias.size(); ++i)
      real.mutable_data<float>()[i] = float(double(bias.int_at(i)) * double(scales[size_t(i)]));
    return l.parameter(std::move(real), name);
  }
  const ValueId stored = l.parameter(bias.cast(DType::i32), name);
  const ValueId scale = l.graph().add_constant(l.graph().fresh_name(name + "_scale"),
                                               Tensor::from<float>({channels}, std::span(scales)));
  return l.b().one("DequantizeLinear", {stored, scale}, {{"axis", int64_t{0}}});
}

}  // namespace espalier::tflite

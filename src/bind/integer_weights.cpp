#include "bind/integer_weights.h"

namespace espalier::bind {
namespace {

/// Sum of the weights of each output channel.
std::vector<int64_t> channel_sums(const Tensor& w, int64_t axis) {
  const int64_t channels = w.shape()[size_t(axis)];
  const int64_t inner = product(w.shape(), size_t(axis) + 1, w.shape().size());
  std::vector<int64_t> sums(size_t(channels), 0);
  const int8_t* p = w.data<int8_t>();
  for (int64_t i = 0; i < w.size(); ++i) sums[size_t(i / inner % channels)] += p[i];
  return sums;
}

double bias_at(const ContractionOperand& b, int64_t i) {
  const int64_t at = b.constant->size() == 1 ? 0 : i;
  const double v = b.constant->at(at);
  if (!b.quant) return v;
  const size_t k = b.quant->scales.size() > 1 ? size_t(at) : 0;
  return (v - b.quant->zero_points[k]) * double(b.quant->scales[k]);
}

}  // namespace

std::variant<IntegerWeights, Refuse> integer_weights(const Contraction& c, size_t weight,
                                                     int64_t channel_axis, bool take_offset) {
  const ContractionOperand& w = c[weight];
  if (!w.quant) return Refuse{"the weight is not quantised"};
  if (w.type.dtype != DType::i8) return Refuse{"the weight is not signed 8 bit"};
  if (!w.constant) return Refuse{"the weight is not known at compile time"};
  if (!w.quant->symmetric()) return Refuse{"the weight has a zero point"};
  if (w.quant->scales.size() > 1 && w.quant->axis != channel_axis &&
      w.quant->axis + w.constant->rank() != channel_axis)
    return Refuse{"the weight's scales are not one per output channel"};
  IntegerWeights r;
  for (float s : w.quant->scales) r.scales.push_back(s * c[0].quant->scales[0]);
  for (float s : r.scales)
    if (!(s > 0)) return Refuse{"a scale is not positive"};
  const int32_t offset = take_offset ? c[0].quant->zero_points[0] : 0;
  if (!c.has(2) && offset == 0) return r;
  if (c.has(2) && !c[2].constant) return Refuse{"the bias is not known at compile time"};
  const int64_t channels = w.constant->shape()[size_t(channel_axis)];
  if (c.has(2) && c[2].constant->size() != channels && c[2].constant->size() != 1)
    return Refuse{"the bias is not one number per output channel"};
  const auto sums = channel_sums(*w.constant, channel_axis);
  r.bias = Tensor(DType::f32, {channels});
  for (int64_t i = 0; i < channels; ++i) {
    const double scale = double(r.scales.size() > 1 ? r.scales[size_t(i)] : r.scales[0]);
    const double bias = c.has(2) ? bias_at(c[2], i) / scale : 0.0;
    r.bias.mutable_data<float>()[i] = float(bias - double(offset) * double(sums[size_t(i)]));
  }
  return r;
}

std::optional<Refuse> saturating_sums(const Contraction& c) {
  if (!c.integer() || !kernels::integer_sums_saturate()) return std::nullopt;
  return Refuse{"without VNNI, sums of products saturate"};
}

}  // namespace espalier::bind

// Our own convolution for 8-bit regions with few channels.
#include "bind/int8_convolution.h"

#include <algorithm>
#include <limits>

#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "bind/integer_weights.h"

namespace espalier::bind {
namespace {

bool is_8bit(DType t) { return t == DType::u8 || t == DType::i8; }

std::optional<Refuse> take_steps(const Contraction& c, float unit, kernels::Int8ConvSpec& s) {
  for (size_t i = 0; i < c.steps.size(); ++i) {
    const ContractionStep& step = c.steps[i];
    if (step.residual) {
      const auto& q = step.residual->quant;
      if (i != 0) return Refuse{"something is applied before the residual"};
      if (!q || q->scales.size() != 1)
        return Refuse{"the residual is not quantised with one scale"};
      if (!is_8bit(step.residual->type.dtype)) return Refuse{"the residual is not 8 bit"};
      s.residual = true;
      s.residual_type = step.residual->type.dtype;
      s.residual_scale = q->scales[0] / unit;
      s.residual_zero = float(q->zero_points[0]);
    } else if (i + 1 == c.steps.size() &&
               (step.op.code == ScalarCode::kRelu || step.op.code == ScalarCode::kClip)) {
      const bool relu = step.op.code == ScalarCode::kRelu;
      s.clamps = true;
      s.low = relu ? 0.0f : step.op.p0 / unit;
      s.high = relu ? std::numeric_limits<float>::infinity() : step.op.p1 / unit;
    } else {
      return Refuse{"the function after it is no cut-off"};
    }
  }
  return std::nullopt;
}

}  // namespace

std::variant<Int8ConvolutionRequest, Refuse> int8_convolution_request(const BindRequest& r) {
  if (!kernels::int8_conv_available())
    return Refuse{"this machine has no AVX-512 VNNI, or has AMX"};
  auto parsed = contraction_of(r);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  Int8ConvolutionRequest request{std::get<Contraction>(std::move(parsed)), {}};
  const Contraction& c = request.contraction;
  if (c.room->full_name() != "Conv") return Refuse{"the region is around " + c.room->op.name};
  if (!c.integer()) return Refuse{"the region is not quantised"};
  if (c[0].constant || !c[1].constant) return Refuse{"operands are constant in an unusual way"};
  if (c[0].quant->scales.size() != 1) return Refuse{"the operand has several scales"};
  if (!is_8bit(c[0].type.dtype)) return Refuse{"the operand is not 8 bit"};
  kernels::Int8ConvSpec& s = request.spec;
  s.x = c[0].type.shape();
  s.w = c[1].type.shape();
  s.y = c.result.shape();
  if (s.x.size() != 4) return Refuse{"the operand has not two spatial axes"};
  if (numel(s.x) == 0 || numel(s.w) == 0 || numel(s.y) == 0) return Refuse{"a tensor is empty"};
  const AttributeReader a(*c.room, c.attrs);
  request.groups = a.integer("group", 1);
  auto made = integer_weights(c, 1, 0, false);
  if (auto* no = std::get_if<Refuse>(&made)) return *no;
  const auto& weights = std::get<IntegerWeights>(made);
  const Window window = window_of(a, s.x, {s.w[2], s.w[3]}, s.y);
  s.strides = window.strides;
  s.dilations = window.dilations;
  s.pads_begin = window.begin;
  s.x_type = c[0].type.dtype;
  s.y_type = result_type(c);
  if (c.quantized ? !is_8bit(s.y_type) : s.y_type != DType::f32)
    return Refuse{"the result is " + std::string(name_of(s.y_type))};
  s.x_zero_point = c[0].quant->zero_points[0];
  s.weights = c[1].constant->data<int8_t>();
  const float unit = c.quantized ? c.quantized->scales[0] : 1.0f;
  s.y_zero_point = c.quantized ? float(c.quantized->zero_points[0]) : 0.0f;
  for (int64_t o = 0; o < s.w[0]; ++o)
    s.scales.push_back(weights.scales[weights.scales.size() > 1 ? size_t(o) : 0] / unit);
  for (int64_t o = 0; o < weights.bias.size(); ++o)
    s.bias.push_back(weights.bias.data<float>()[o] * s.scales[size_t(o)]);
  if (auto no = take_steps(c, unit, s)) return *no;
  request.x = c[0].outer;
  request.residual = s.residual ? c.steps[0].residual->outer : -1;
  return request;
}

KernelPtr int8_convolution_kernel(std::string name, std::function<void(const KernelArgs&)> run,
                                  const BindRequest& r, const Int8ConvolutionRequest& request) {
  auto kernel = function_kernel(std::move(name), std::move(run));
  kernel->operand_layouts.assign(r.in.size(), Layout::kPlain);
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.constant(i)) kernel->absorbed.push_back(int(i));
  for (int i : {request.x, request.residual})
    if (i >= 0) kernel->operand_layouts[size_t(i)] = Layout::kChannelsLast;
  kernel->result_layouts = {Layout::kChannelsLast};
  return kernel;
}

namespace {

/// From here on oneDNN's kernel comes close to the machine's peak.
constexpr int64_t kManyChannels = 128;

Bound bind_int8_convolution(const BindRequest& r) {
  auto parsed = int8_convolution_request(r);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<Int8ConvolutionRequest>(parsed);
  const kernels::Int8ConvSpec& s = request.spec;
  if (request.groups != 1) return Refuse{"the convolution has groups"};
  if (s.x[1] >= kManyChannels) return Refuse{"has so many channels that oneDNN is as fast"};
  if (s.w[2] * s.w[3] == 1 && s.y[1] >= 64)
    return Refuse{"writes so much for what it computes that oneDNN is faster"};
  auto conv = std::make_shared<const kernels::Int8Conv>(s);
  const int x = request.x, residual = request.residual;
  auto kernel = int8_convolution_kernel(
      "int8_conv avx512_vnni",
      [conv, x, residual](const KernelArgs& k) {
        conv->run(k.in[x], residual >= 0 ? k.in[residual] : nullptr, k.out[0], k.scratch);
      },
      r, request);
  kernel->scratch_bytes = conv->scratch_bytes();
  kernel->packed_bytes = conv->packed_bytes();
  if (s.y_type != DType::f32) kernel->in_place = residual_places(request.contraction);
  return kernel;
}

}  // namespace

Entries int8_convolution_entries() {
  return {{"espalier.Fused", {"int8_conv", bind_int8_convolution}}};
}

}  // namespace espalier::bind

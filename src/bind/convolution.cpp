// Convolutions and their gradients by oneDNN, activations channels-last.
#include "bind/convolution.h"

#include <algorithm>

#include "bind/attribute_reader.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "bind/integer_weights.h"
#include "bind/sequence_kernel.h"

namespace espalier::bind {
namespace {

std::string name_of_type(DType t) { return std::string(name_of(t)); }

kernels::ConvGeometry geometry_of(const Room& room, const Attributes& attrs, const Shape& x,
                                  const Shape& w, const Shape& y) {
  const AttributeReader a(room, attrs);
  const Window window = window_of(a, x, Shape(w.begin() + 2, w.end()), y);
  return {window.strides, window.dilations, window.begin, window.end, a.integer("group", 1)};
}

bool is_padded(const kernels::ConvGeometry& g) {
  const auto some = [](const std::vector<int64_t>& v) {
    return std::any_of(v.begin(), v.end(), [](int64_t p) { return p > 0; });
  };
  return some(g.pads_begin) || some(g.pads_end);
}

kernels::Weight weight_of(const Contraction& c, size_t i) {
  return {c[i].type.dtype, c[i].type.shape(), c[i].constant ? c[i].constant->raw() : nullptr,
          size_t(std::max(0, c[i].outer))};
}

/// Geometry of a transposed convolution, as that of the convolution from y to x.
kernels::ConvGeometry transposed_geometry(const Room& room, const Attributes& attrs, const Shape& x,
                                          const Shape& w, const Shape& y) {
  const AttributeReader a(room, attrs);
  const size_t n = x.size() - 2;
  kernels::ConvGeometry g{
      a.list("strides", n, 1), a.list("dilations", n, 1), {}, {}, a.integer("group", 1)};
  const auto mode = a.get<std::string>("auto_pad", "NOTSET");
  const auto pads = a.list("pads", 2 * n, 0), more = a.list("output_padding", n, 0);
  const bool fitted = mode.starts_with("SAME") || !a.list("output_shape", 0, 0).empty();
  for (size_t i = 0; i < n; ++i) {
    const int64_t reach = (w[i + 2] - 1) * g.dilations[i] + 1;
    const int64_t total =
        std::max<int64_t>(0, g.strides[i] * (x[i + 2] - 1) + more[i] + reach - y[i + 2]);
    const int64_t begin = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
    g.pads_begin.push_back(fitted ? begin : mode == "VALID" ? 0 : pads[i]);
  }
  return g;
}

/// Packs the weight for 8-bit operands; a reason where it cannot.
std::optional<Refuse> set_integer_weights(const Contraction& c, kernels::ConvSpec& s,
                                          IntegerWeights& weights) {
  if (c.room->full_name() == "ConvTranspose") return Refuse{"it runs in float"};
  if (c[0].quant->scales.size() != 1) return Refuse{"the operand has several scales"};
  // Zero padding stands for real zeros, so an offset can be taken out of the sum beforehand only
  // where nothing is padded.
  const bool padded = is_padded(s.geometry);
  auto made = integer_weights(c, 1, 0, !padded);
  if (auto* no = std::get_if<Refuse>(&made)) return *no;
  weights = std::get<IntegerWeights>(std::move(made));
  if (padded) s.x_zero_point = c[0].quant->zero_points[0];
  if (weights.bias.size() > 0)
    s.bias = kernels::Weight{DType::f32, {s.y[1]}, weights.bias.raw(), 2};
  return std::nullopt;
}

}  // namespace

std::variant<ConvolutionRequest, Refuse> convolution_request(const BindRequest& r) {
  auto parsed = contraction_of(r);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  return convolution_of(std::get<Contraction>(std::move(parsed)));
}

std::variant<ConvolutionRequest, Refuse> convolution_of(Contraction contraction) {
  ConvolutionRequest request{std::move(contraction), {}, {}, false};
  const Contraction& c = request.contraction;
  request.transposed = c.room->full_name() == "ConvTranspose";
  if (!request.transposed && c.room->full_name() != "Conv")
    return Refuse{"the region is around " + c.room->op.name};
  if (c[0].constant) return Refuse{"the operand is a constant"};
  const auto is_weight = [&](const auto& o) { return o.outer >= 0 && o.outer == c[1].outer; };
  if (is_weight(c[0]) || std::ranges::any_of(c.steps, [&](const ContractionStep& step) {
        return step.residual && is_weight(*step.residual);
      }))
    return Refuse{"the weight is read as another operand too, which lies otherwise"};
  kernels::ConvSpec& s = request.spec;
  s.x = c[0].type.shape();
  s.y = c.result.shape();
  const Shape w = c[1].type.shape();
  if (numel(s.x) == 0 || numel(w) == 0 || numel(s.y) == 0) return Refuse{"a tensor is empty"};
  s.x_operand = size_t(c[0].outer);
  s.x_type = c[0].type.dtype;
  s.y_type = result_type(c);
  s.geometry =
      (request.transposed ? transposed_geometry : geometry_of)(*c.room, c.attrs, s.x, w, s.y);
  s.weight = weight_of(c, 1);
  if (c.integer()) {
    if (const auto no = set_integer_weights(c, s, request.integers)) return *no;
  } else {
    if (!dense_float(s.x_type)) return Refuse{"the operand is " + name_of_type(s.x_type)};
    if (c.has(2)) s.bias = weight_of(c, 2);
  }
  auto epilogue = epilogue_of(c, s.y_type, request.integers.scales);
  if (auto* no = std::get_if<Refuse>(&epilogue)) return *no;
  s.epilogue = std::get<kernels::Epilogue>(std::move(epilogue));
  return request;
}

void set_channels_last(Kernel& kernel, const BindRequest& r, const Contraction& c) {
  kernel.operand_layouts.assign(r.in.size(), Layout::kPlain);
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.constant(i)) kernel.absorbed.push_back(int(i));  // packed
  kernel.operand_layouts[size_t(c[0].outer)] = Layout::kChannelsLast;
  for (const ContractionStep& step : c.steps)
    if (step.residual) kernel.operand_layouts[size_t(step.residual->outer)] = Layout::kChannelsLast;
  kernel.result_layouts = {Layout::kChannelsLast};
}

void set_grad_input_layouts(Kernel& kernel) {
  kernel.operand_layouts = {Layout::kChannelsLast, Layout::kPlain, Layout::kPlain};
  kernel.result_layouts = {Layout::kChannelsLast};
  kernel.absorbed = {2};
}

namespace {

Bound bind_convolution(const BindRequest& r) {
  const auto parsed = convolution_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<ConvolutionRequest>(parsed);
  if (const auto no = saturating_sums(request.contraction)) return *no;
  auto prepared = request.transposed ? kernels::prepare_transposed_convolution(request.spec)
                                     : kernels::prepare_convolution(request.spec);
  if (!prepared.sequence) return Refuse{prepared.refusal};
  KernelPtr kernel = sequence_kernel(request.transposed ? "onednn.deconv" : "onednn.conv",
                                     std::move(prepared.sequence));
  set_channels_last(*kernel, r, request.contraction);
  kernel->in_place = residual_places(request.contraction);
  return kernel;
}

}  // namespace

std::variant<kernels::ConvGradSpec, Refuse> gradient_spec(const BindRequest& r, const Shape& x,
                                                          const Shape& w, const Shape& y,
                                                          DType weight_type) {
  if (numel(x) == 0 || numel(w) == 0 || numel(y) == 0) return Refuse{"a tensor is empty"};
  if (!dense_float(r.in_dtype(0))) return Refuse{"the operand is " + name_of_type(r.in_dtype(0))};
  if (r.in_dtype(1) != r.in_dtype(0)) return Refuse{"operands of different element types"};
  kernels::ConvGradSpec s;
  s.type = r.in_dtype(0);
  s.weight_type = weight_type;
  s.x = x;
  s.w = w;
  s.y = y;
  s.geometry = geometry_of(*r.room, r.attrs, x, w, y);
  return s;
}

namespace {

// espalier.ConvGradInput(dy, w, shape of x).
Bound bind_grad_input(const BindRequest& r) {
  auto spec = gradient_spec(r, r.out_shape(0), r.in_shape(1), r.in_shape(0), r.in_dtype(1));
  if (auto* no = std::get_if<Refuse>(&spec)) return *no;
  auto prepared = kernels::prepare_convolution_grad_input(std::get<kernels::ConvGradSpec>(spec));
  if (!prepared.sequence) return Refuse{prepared.refusal};
  auto kernel = sequence_kernel("onednn.conv_grad_input", std::move(prepared.sequence));
  set_grad_input_layouts(*kernel);
  return kernel;
}

}  // namespace

Entries convolution_entries() {
  return {{"Conv", {"onednn.conv", bind_convolution}},
          {"ConvTranspose", {"tiled conv", bind_tiled_convolution}},
          {"ConvTranspose", {"onednn.deconv", bind_convolution}},
          {"espalier.Fused", {"tiled conv", bind_tiled_convolution}},
          {"espalier.Fused", {"onednn.conv", bind_convolution}},
          {"espalier.ConvGradInput", {"onednn.conv_grad_input", bind_grad_input}},
          {"espalier.ConvGradWeight", {"jit.conv_grad_weight", bind_generated_grad_weight}},
          {"espalier.ConvGradWeight", {"onednn.conv_grad_weight", bind_grad_weight}}};
}

}  // namespace espalier::bind

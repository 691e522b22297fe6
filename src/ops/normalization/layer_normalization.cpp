// LayerNormalization, ONNX opset 17 (Ba, Kiros & Hinton, arXiv:1607.06450): over the axes from
// `axis` on, y = scale (x - mean) inv_std + bias with inv_std = 1 / sqrt(var + epsilon). Scale and
// bias broadcast to the normalised axes. Results: Y, Mean, InvStdDev; the last two keep the
// normalised axes as extents of 1 and are f32 (bf16 if stash_type says so, f64 for f64 operands).
#include "ops/normalization/layer_normalization.h"

#include <cmath>

#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

using Norm = LayerNormalization;

Types infer(const Norm& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 3);
  const int64_t axis = axis_of(in, 0, a.axis);
  if (!(a.epsilon >= 0)) in.fail("epsilon is " + std::to_string(a.epsilon));
  const Dims normalised(in[0].dims.begin() + axis, in[0].dims.end());
  for (size_t i = 1; i < 3; ++i) {
    if (!in.has(i)) continue;
    const Dims& own = in[i].dims;
    bool fits = own.size() <= normalised.size();
    for (size_t d = 0; fits && d < own.size(); ++d) {
      const Dim& full = normalised[normalised.size() - own.size() + d];
      fits = !own[d].known() || !full.known() || own[d].is(1) || own[d] == full;
    }
    if (!fits)
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) +
              " and does not broadcast to the axes of " + to_string(in[0]) + " from " +
              std::to_string(axis) + " on");
  }
  if (a.stash_type != 1 && a.stash_type != 16)
    in.fail("stash_type is " + std::to_string(a.stash_type), "1 (f32) and 16 (bf16) are known");
  TensorType statistics = in[0];
  if (in[0].dtype != DType::f64) statistics.dtype = a.stash_type == 1 ? DType::f32 : DType::bf16;
  for (size_t d = size_t(axis); d < statistics.dims.size(); ++d) statistics.dims[d] = Dim(1);
  return {in[0], statistics, statistics};
}

template <class Real>
void reference(const Norm& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const size_t axis = size_t(a.axis < 0 ? a.axis + int64_t(shape.size()) : a.axis);
  const Shape normalised(shape.begin() + int64_t(axis), shape.end());
  const int64_t rows = product(shape, 0, axis), width = numel(normalised);
  const auto x = r.real(0), scale = r.real(1);
  const auto bias = r.has(2) ? r.real(2) : std::span<const Real>();
  const auto y = r.out_real(0), means = r.out_real(1), inverses = r.out_real(2);
  const std::array<std::vector<int64_t>, 2> strides = {
      broadcast_strides(r.shape(1), normalised),
      broadcast_strides(r.has(2) ? r.shape(2) : r.shape(1), normalised)};
  for (int64_t row = 0; row < rows; ++row) {
    const Real* px = x.data() + row * width;
    Real* py = y.data() + row * width;
    const double count = double(std::max<int64_t>(1, width));
    double mean = 0, var = 0;
    for (int64_t i = 0; i < width; ++i) mean += double(px[i]) / count;
    for (int64_t i = 0; i < width; ++i) var += std::pow(double(px[i]) - mean, 2) / count;
    const double inv_std = 1 / std::sqrt(var + double(a.epsilon));
    for_each_offset<2>(normalised, strides, [&](int64_t i, const std::array<int64_t, 2>& o) {
      const double h = (double(px[i]) - mean) * inv_std;
      py[i] =
          Real(h * double(scale[size_t(o[0])]) + (bias.empty() ? 0 : double(bias[size_t(o[1])])));
    });
    means[size_t(row)] = Real(mean);
    inverses[size_t(row)] = Real(inv_std);
  }
}

/// Scale, and bias where there is one, have the extents of the normalised axes.
bool plain_parameters(const Norm& a, const Tape& t) {
  const Dims& dims = t.type_x(0).dims;
  const int64_t axis = a.axis < 0 ? a.axis + int64_t(dims.size()) : a.axis;
  const Dims normalised(dims.begin() + axis, dims.end());
  if (t.type_x(1).dims != normalised) return false;
  return t.inputs() < 3 || t.x(2) == kNoValue || t.type_x(2).dims == normalised;
}

// Through y: LayerNormGrad. Through the statistics, with n elements in a row and h the normalised
// ones: dx += (dMean - dInvStdDev inv_std^2 h) / n.
Values gradient(const Norm& a, Builder& b, const Tape& t) {
  const TensorType type = t.type_x(0);
  const DType dtype = type.dtype;
  Values statistics = {kNoValue, kNoValue};
  if (t.outputs() == 3 && t.y(1) != kNoValue && t.y(2) != kNoValue) {
    statistics = {t.y(1), t.y(2)};
  } else {
    const Values again = b.op(layer_normalization(), Attributes::of(a), {t.x(0), t.x(1)});
    statistics = {again[1], again[2]};
  }
  const auto sum = [&](ValueId u, ValueId v) {
    return u == kNoValue ? v : v == kNoValue ? u : b.add(u, v);
  };
  Values d(t.inputs(), kNoValue);
  if (t.dy(0) != kNoValue) {
    const Values operands = {t.dy(0), t.x(0), t.x(1), statistics[0], statistics[1]};
    const Values made =
        plain_parameters(a, t)
            ? b.op(layer_norm_grad(), Attributes::of(LayerNormGrad{a.axis}), operands)
            : layer_norm_gradients(b, a.axis, operands[0], operands[1], operands[2], operands[3],
                                   operands[4]);
    if (t.wants(0)) d[0] = made[0];
    if (t.wants(1)) d[1] = made[1];
    if (t.wants(2)) d[2] = plain_parameters(a, t) ? made[2] : b.unbroadcast(t.dy(0), t.x(2));
  }
  if (!t.wants(0)) return d;
  const ValueId inv_std = b.cast(statistics[1], dtype);
  ValueId through = kNoValue;
  if (t.outputs() > 1 && t.dy(1) != kNoValue) through = b.cast(t.dy(1), dtype);
  if (t.outputs() > 2 && t.dy(2) != kNoValue) {
    const ValueId h = b.mul(b.sub(t.x(0), b.cast(statistics[0], dtype)), inv_std);
    const ValueId slope = b.mul(b.cast(t.dy(2), dtype), b.mul(inv_std, inv_std));
    through = sum(through, b.neg(b.mul(slope, h)));
  }
  if (through == kNoValue) return d;
  const ValueId everywhere = b.one("Expand", {through, shape_of(b, t.x(0))});
  double count = 1;
  for (int64_t i = a.axis < 0 ? a.axis + type.rank() : a.axis; i < type.rank(); ++i)
    count *= double(std::max<int64_t>(1, type.dims[size_t(i)].value()));
  d[0] = sum(d[0], b.mul(everywhere, 1 / count));
  return d;
}

Cost cost(const Norm&, const TypesIn& in, const Types& out) { return map_cost(9, in, out); }

// Rows are independent; the normalised axes are read whole.
AxisMap axes(const Norm& a, const TypesIn& in, const Types& out) {
  const int64_t first = axis_of(in, 0, a.axis);
  AxisMap map = AxisMap::identity(in);
  for (AxisTie& tie : map.ties) {
    const int64_t axis = tie.places[0].axis;
    if (axis < first) {
      for (int slot = 1; slot < int(out.size()); ++slot)
        tie.places.push_back(AxisPlace::out(slot, axis));
      tie.zero_passes = !in.has(2) && out.size() < 3;
      continue;
    }
    tie.reads_whole = true;
    for (int slot = 1; slot < 3; ++slot) {
      if (!in.has(size_t(slot))) continue;
      const int64_t own = axis - (in[0].rank() - in[size_t(slot)].rank());
      if (own >= 0 && in[size_t(slot)].dims[size_t(own)].is(tie.count))
        tie.places.push_back(AxisPlace::in(slot, own));
      else
        tie.zero_passes = false;
    }
  }
  return map;
}

void emit(const Norm& a, CWriter& c) {
  require_f32(c);
  const Shape shape = c.shape(0);
  const auto axis = size_t(normal_axis(a.axis, int64_t(shape.size()), "LayerNormalization"));
  const Shape normalised(shape.begin() + int64_t(axis), shape.end());
  const int64_t width = numel(normalised);
  if (numel(shape) == 0) return;
  // Scale and bias as rows.
  const auto row = [&](size_t i) -> std::string {
    if (!c.has(i) || c.size(i) == width) return c.in(i);
    const std::string whole = c.scratch(DType::f32, width);
    c.nest(normalised,
           {{0, broadcast_strides(c.shape(i), normalised)}, {0, strides_of(normalised)}},
           [&](const std::vector<std::string>& at) {
             c.line(whole + "[" + at[1] + "] = " + c.load(i, at[0]) + ";");
           });
    return whole;
  };
  const auto result = [&](size_t o) { return c.wants(o) ? c.out(o) : std::string("0"); };
  const std::string scale = row(1), bias = row(2);
  c.overlay(0, 0);
  c.call("layer_norm.h", "esp_layer_norm_f32",
         {std::to_string(product(shape, 0, axis)), std::to_string(width), c.in(0), scale, bias,
          c_literal(double(a.epsilon), DType::f32), c.out(0), result(1), result(2)});
}

}  // namespace

const Room& layer_normalization() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Norm>({
      .onnx = {"LayerNormalization", 17},
      .arity = {2, 3, 1, 3},
      .attributes = {{"axis", &Norm::axis},
                     {"epsilon", &Norm::epsilon},
                     {"stash_type", &Norm::stash_type}},
      .infer = infer,
      .reference = ESP_REFERENCE(Norm, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {x({2, 3, 4}), x({4}), x({4})}, 1},
                  {{1, 1e-3f}, {x({2, 3, 4}), x({3, 4}), x({3, 4})}},
                  {{-2, 1e-3f}, {x({2, 3, 4}), x({3, 1}), OperandSpec::omitted()}},
                  {{0}, {x({5}), x({5})}, 1},
                  {{}, {x({0, 4}), x({4}), x({4})}}},
  });
  return room;
}

}  // namespace espalier::ops

// BatchNormalization, ONNX opset 15 (Ioffe & Szegedy, arXiv:1502.03167): per channel,
//   y = scale (x - mean) inv_std + bias,   inv_std = 1 / sqrt(var + epsilon).
// Inference takes mean and var from its operands. Training takes those of the batch (the variance
// divided by the count, not the count less one) and has further results: running_mean and
// running_var, which are momentum * operand + (1 - momentum) * batch's; and, beyond ONNX,
// saved_mean and saved_inv_std for the backward pass.
#include "ops/normalization/batch_normalization.h"

#include <cmath>

#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/normalization/channels.h"
#include "ops/window.h"

namespace espalier::ops {
namespace {

using Norm = BatchNormalization;

Types infer(const Norm& a, const TypesIn& in) {
  for (size_t i = 0; i < 5; ++i) require_float(in, i);
  require_same_dtype(in, 1, 3);
  require_same_dtype(in, 3, 5);
  if (in[0].rank() < 2)
    in.fail("operand 0 is " + to_string(in[0]) + ", batch and channel axes are needed");
  if (!(a.epsilon >= 0)) in.fail("epsilon is " + std::to_string(a.epsilon));
  const Dim& channels = in[0].dims[1];
  for (size_t i = 1; i < 5; ++i) {
    require_rank(in, i, 1);
    const Dim& own = in[i].dims[0];
    if (own.known() && channels.known() && !(own == channels))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + " for " +
              to_string(channels) + " channels");
  }
  Types types = {in[0]};
  if (a.training_mode) types.insert(types.end(), {in[3], in[4], in[3], in[3]});
  return types;
}

template <class Real>
void reference(const Norm& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const auto x = r.real(0), scale = r.real(1), bias = r.real(2), mean = r.real(3), var = r.real(4);
  const auto y = r.out_real(0);
  for (int64_t c = 0; c < shape[1]; ++c) {
    const auto at = size_t(c);
    double m = double(mean[at]), v = double(var[at]);
    if (a.training_mode) {
      const double count = double(std::max<int64_t>(1, elements_per_channel(shape)));
      m = v = 0;
      for_each_of_channel(shape, c, [&](size_t i) { m += double(x[i]) / count; });
      for_each_of_channel(shape, c, [&](size_t i) { v += std::pow(double(x[i]) - m, 2) / count; });
    }
    const double inv_std = 1 / std::sqrt(v + double(a.epsilon));
    for_each_of_channel(shape, c, [&](size_t i) {
      y[i] = Real(double(scale[at]) * (double(x[i]) - m) * inv_std + double(bias[at]));
    });
    if (!a.training_mode) continue;
    const double keep = double(a.momentum);
    r.out_real(1)[at] = Real(keep * double(mean[at]) + (1 - keep) * m);
    r.out_real(2)[at] = Real(keep * double(var[at]) + (1 - keep) * v);
    r.out_real(3)[at] = Real(m);
    r.out_real(4)[at] = Real(inv_std);
  }
}

/// Writes the backward pass: channel vectors as [1, C, 1...] where they meet x.
struct Backward {
  const Norm& a;
  Builder& b;
  const Tape& t;

  ValueId along(ValueId v) const {
    std::vector<int64_t> shape(size_t(t.type_x(0).rank()), 1);
    shape[1] = -1;
    return b.cast(b.reshape(v, shape), t.type_x(0).dtype);
  }
  ValueId per_channel(ValueId v, size_t like) const {
    std::vector<int64_t> others = {0};
    for (int64_t axis = 2; axis < t.type_x(0).rank(); ++axis) others.push_back(axis);
    return b.cast(b.reduce_sum(v, others, false), t.type_x(like).dtype);
  }
  ValueId sum(ValueId u, ValueId v) const {
    return u == kNoValue ? v : v == kNoValue ? u : b.add(u, v);
  }
  ValueId scaled(ValueId v, double by) const { return v == kNoValue ? v : b.mul(v, by); }

  Values inference() const {
    Values d(5, kNoValue);
    const ValueId dy = t.dy(0), scale = t.x(1), mean = t.x(3), var = t.x(4);
    const ValueId inv_std = b.div(b.scalar(1, var), b.sqrt(b.add(var, double(a.epsilon))));
    const ValueId gain = b.mul(b.cast(scale, b.type(var).dtype), inv_std);
    if (t.wants(0)) d[0] = b.mul(dy, along(gain));
    if (t.wants(2)) d[2] = per_channel(dy, 2);
    if (t.wants(3)) d[3] = b.neg(b.mul(per_channel(dy, 3), gain));
    if (!t.wants(1) && !t.wants(4)) return d;
    const ValueId moved = b.mul(dy, b.sub(t.x(0), along(mean)));
    if (t.wants(1)) d[1] = b.mul(per_channel(moved, 1), b.cast(inv_std, b.type(scale).dtype));
    if (t.wants(4)) {
      const ValueId slope = b.mul(b.mul(gain, b.mul(inv_std, inv_std)), -0.5);
      d[4] = b.mul(per_channel(moved, 4), slope);
    }
    return d;
  }

  Values training() const {
    Values d(5, kNoValue);
    if (t.dy(0) != kNoValue && (t.wants(0) || t.wants(1) || t.wants(2))) {
      const auto [mean, inv_std] = saved();
      const Values own = b.op(batch_norm_grad(), Attributes::of(BatchNormGrad{a.epsilon}),
                              {t.x(0), t.dy(0), t.x(1), mean, inv_std});
      for (size_t i = 0; i < 3; ++i)
        if (t.wants(i)) d[i] = own[i];
    }
    // What flows through the statistics, should anybody differentiate them.
    const double keep = double(a.momentum);
    if (t.wants(3)) d[3] = scaled(dy(1), keep);
    if (t.wants(4)) d[4] = scaled(dy(2), keep);
    if (t.wants(0)) d[0] = sum(d[0], through_statistics(1 - keep));
    return d;
  }

 private:
  ValueId dy(size_t i) const { return i < t.outputs() ? t.dy(i) : kNoValue; }

  /// saved_mean and saved_inv_std, computed once more where the node does not hand them out.
  std::array<ValueId, 2> saved() const {
    if (t.outputs() == 5 && t.y(3) != kNoValue && t.y(4) != kNoValue) return {t.y(3), t.y(4)};
    const Values again =
        b.op(batch_normalization(), Attributes::of(a), {t.x(0), t.x(1), t.x(2), t.x(3), t.x(4)});
    return {again[3], again[4]};
  }

  ValueId through_statistics(double fresh) const {
    const ValueId to_mean = sum(scaled(dy(1), fresh), dy(3));
    ValueId to_var = scaled(dy(2), fresh);
    if (dy(4) != kNoValue) {
      const ValueId inv_std = t.y(4);
      const ValueId cube = b.mul(inv_std, b.mul(inv_std, inv_std));
      to_var = sum(to_var, b.mul(b.mul(dy(4), cube), -0.5));
    }
    ValueId total = to_mean == kNoValue ? kNoValue : along(to_mean);
    if (to_var != kNoValue) {
      const ValueId centred = b.sub(t.x(0), along(saved()[0]));
      total = sum(total, b.mul(b.mul(along(to_var), centred), 2.0));
    }
    if (total == kNoValue) return total;
    const double count = double(elements_per_channel(t.type_x(0).shape()));
    ValueId mean = b.mul(total, 1 / std::max(1.0, count));
    if (to_var == kNoValue) mean = b.one("Expand", {mean, shape_of(b, t.x(0))});
    return mean;
  }
};

Values gradient(const Norm& a, Builder& b, const Tape& t) {
  const Backward backward{a, b, t};
  return a.training_mode ? backward.training() : backward.inference();
}

Cost cost(const Norm& a, const TypesIn& in, const Types& out) {
  return map_cost(a.training_mode ? 7 : 2, in, out);
}

// Training reads whole batches and planes; inference treats each element alike, and its bias keeps
// zero from passing along any axis but the channels'.
AxisMap axes(const Norm& a, const TypesIn& in, const Types& out) {
  AxisMap map;
  AxisTie channels{in[1].dims[0].value(), {AxisPlace::in(0, 1), AxisPlace::out(0, 1)}};
  for (int slot = 1; slot < 5; ++slot) channels.places.push_back(AxisPlace::in(slot, 0));
  for (int slot = 1; slot < int(out.size()); ++slot)
    channels.places.push_back(AxisPlace::out(slot, 0));
  channels.zero_passes = out.size() < 5;  // saved_inv_std is never zero
  map.ties.push_back(std::move(channels));
  if (a.training_mode) return map;
  for (AxisTie& tie : AxisMap::identity(in, false).ties)
    if (tie.places[0].axis != 1) map.ties.push_back(std::move(tie));
  return map;
}

Norm with_mode(const Norm& a, bool training) {
  Norm r = a;
  r.training_mode = training;
  return r;
}

/// One channel after another: its mean, its variance, its elements.
void emit_training(const Norm& a, CWriter& c) {
  const DType t = c.dtype(0);
  const std::string real = c_type(t) + " ";
  const std::string count =
      c_literal(double(std::max<int64_t>(1, elements_per_channel(c.shape(0)))), t);
  const std::string keep = c_literal(double(a.momentum), t),
                    rest = c_literal(1 - double(a.momentum), t);
  const auto store = [&](size_t o, const std::string& value) {
    if (c.wants(o)) c.store(o, "c", value);
  };
  c.overlay(0, 0);
  for (size_t o : {1, 2})
    if (c.wants(o)) c.overlay(o, o + 2);
  c.block(for_loop("c", c.shape(0)[1]), [&] {
    c.line(real + "mean = 0, var = 0;");
    each_of_channel(c, [&](const std::string& at) { c.line("mean += " + c.load(0, at) + ";"); });
    c.line("mean /= " + count + ";");
    each_of_channel(c, [&](const std::string& at) {
      c.line("const " + real + "d = " + c.load(0, at) + " - mean;");
      c.line("var += d * d;");
    });
    c.line("var /= " + count + ";");
    c.line(with_suffix(
        "const " + real + "inv_std = 1 / sqrt~(var + " + c_literal(double(a.epsilon), t) + ");",
        t));
    each_of_channel(c, [&](const std::string& at) {
      c.store(0, at,
              c.load(1, "c") + " * (" + c.load(0, at) + " - mean) * inv_std + " + c.load(2, "c"));
    });
    store(1, keep + " * " + c.load(3, "c") + " + " + rest + " * mean");
    store(2, keep + " * " + c.load(4, "c") + " + " + rest + " * var");
    store(3, "mean");
    store(4, "inv_std");
  });
}

void emit(const Norm& a, CWriter& c) {
  if (a.training_mode) return emit_training(a, c);
  const Shape x = c.shape(0);
  const DType t = c.dtype(0);
  std::vector<int64_t> channel(x.size(), 0);
  channel[1] = 1;
  c.overlay(0, 0);
  c.nest(x, {{0, strides_of(x)}, {0, channel}}, [&](const std::vector<std::string>& at) {
    c.store(0, at[0],
            with_suffix("(" + c.load(0, at[0]) + " - " + c.load(3, at[1]) + ") / sqrt~(" +
                            c.load(4, at[1]) + " + " + c_literal(double(a.epsilon), t) + ") * " +
                            c.load(1, at[1]) + " + " + c.load(2, at[1]),
                        t));
  });
}

}  // namespace

const Room& batch_normalization() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto var = [](int64_t n) { return OperandSpec::ranged({n}, 0.5, 2); };
  static const Room room = make_room<Norm>({
      .onnx = {"BatchNormalization", 15},
      .arity = {5, 5, 1, 5},
      .attributes = {{"epsilon", &Norm::epsilon},
                     {"momentum", &Norm::momentum},
                     {"training_mode", &Norm::training_mode}},
      .infer = infer,
      .reference = ESP_REFERENCE(Norm, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"is folded into the contraction before it"},
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {x({2, 3, 4, 2}), x({3}), x({3}), x({3}), var(3)}},
                  {{0.1f}, {x({4, 3}), x({3}), x({3}), x({3}), var(3)}},
                  {{1e-3f, 0.8f, true}, {x({2, 3, 2, 2}), x({3}), x({3}), x({3}), var(3)}},
                  {{1e-3f, 0.8f, true}, {x({3, 2, 4}), x({2}), x({2}), x({2}), var(2)}, 3},
                  {{1e-3f, 0.8f, true}, {x({5, 3}), x({3}), x({3}), x({3}), var(3)}, 1},
                  {{}, {x({0, 3, 2}), x({3}), x({3}), x({3}), var(3)}}},
      .with_mode = with_mode,
  });
  return room;
}

}  // namespace espalier::ops

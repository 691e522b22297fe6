// Resize, ONNX opset 19: resampling by nearest neighbour, linear or cubic interpolation along each
// axis in turn. Operands: X, roi, scales, sizes; of the last two one is given and must be known
// when the graph is specialised.
#include "ops/resample/resize.h"

#include "base/error.h"
#include "ops/catalogue.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

/// Omitted, or present as an empty list.
bool missing(const TypesIn& in, size_t i) {
  return !in.has(i) || (in[i].rank() == 1 && in[i].dims[0].is(0));
}

Types infer(const Resize& a, const TypesIn& in) {
  check_resize(in, a);
  const TensorType& x = in[0];
  if (x.dtype == DType::string) in.fail("cannot resize strings");
  const std::vector<size_t> axes = resized_axes(a, x.rank(), in.where());
  const bool by_scales = !missing(in, 2), by_sizes = !missing(in, 3);
  if (by_scales == by_sizes)
    in.fail(by_scales ? "scales and sizes are both given" : "neither scales nor sizes are given",
            "give one of them");
  if (!missing(in, 1)) require_float(in, 1);
  if (a.coordinate_transformation_mode == "tf_crop_and_resize") {
    if (missing(in, 1)) in.fail("tf_crop_and_resize needs a region", "give roi");
    if (in.constant(1) && in.constant(1)->size() != int64_t(2 * axes.size()))
      in.fail("roi has " + std::to_string(in.constant(1)->size()) + " entries, " +
              std::to_string(2 * axes.size()) + " are needed");
  }
  TensorType y = x;
  if (by_scales) {
    require_float(in, 2);
    if (!in.constant(2)) {
      for (size_t axis : axes) y.dims[axis] = Dim::unknown();
      return {std::move(y)};
    }
    if (in.constant(2)->size() != int64_t(axes.size()))
      in.fail(std::to_string(in.constant(2)->size()) + " scales are given for " +
              std::to_string(axes.size()) + " axes");
    // Only the number of scales is needed to place them.
    const Shape any(x.dims.size(), 1);
    y.dims = scaled_dims(in, x.dims, scales_of_all(a, any, in.constant(2), nullptr), false);
    return {std::move(y)};
  }
  const auto sizes = list_of(in, 3);
  const bool keeps = a.keep_aspect_ratio_policy != "stretch";
  bool known = sizes.has_value();
  for (size_t axis : axes) known = known && (!keeps || x.dims[axis].known());
  if (!known) {
    for (size_t axis : axes) y.dims[axis] = Dim::unknown();
    return {std::move(y)};
  }
  if (sizes->size() != axes.size())
    in.fail("sizes " + to_string(*sizes) + " are not for " + std::to_string(axes.size()) + " axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    const Dim& extent = x.dims[axes[i]];
    if ((*sizes)[i] < 0 || ((keeps || (*sizes)[i] > 0) && extent.is(0)))
      in.fail("cannot resize " + to_string(x) + " to " + to_string(*sizes));
    y.dims[axes[i]] = Dim((*sizes)[i]);
  }
  if (!keeps) return {std::move(y)};
  Shape extents(x.dims.size(), 1);
  for (size_t axis : axes) extents[axis] = x.dims[axis].value();
  y.dims = scaled_dims(in, x.dims, scales_of_all(a, extents, nullptr, in.constant(3)), true);
  return {std::move(y)};
}

/// Interpolates along one axis: x of `shape` becomes the returned values.
template <class T>
std::vector<T> resampled(std::span<const T> x, const Shape& shape, size_t axis, const Taps& taps,
                         T outside) {
  const int64_t outer = product(shape, 0, axis), inner = product(shape, axis + 1, shape.size());
  const auto results = int64_t(taps.size());
  std::vector<T> y(size_t(outer * results * inner), T(0));
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < results; ++k) {
      T* py = y.data() + (o * results + k) * inner;
      if (taps[size_t(k)].empty()) std::fill(py, py + inner, outside);
      for (const Tap& tap : taps[size_t(k)]) {
        const T* px = x.data() + (o * shape[axis] + tap.at) * inner;
        const T weight = T(tap.weight);
        for (int64_t i = 0; i < inner; ++i) py[i] += weight * px[i];
      }
    }
  return y;
}

template <class Real>
void reference(const Resize& a, Ref<Real>& r) {
  if (numel(r.out_shape(0)) == 0) return;
  const auto list = [&](size_t i) { return r.has(i) ? &r.tensor(i) : nullptr; };
  const std::vector<Taps> taps =
      resize_taps(a, r.shape(0), r.out_shape(0), scales_of_all(a, r.shape(0), list(2), list(3)),
                  region_of_all(a, r.shape(0).size(), list(1)));
  const auto run = [&](auto x, auto y) {
    using T = typename decltype(y)::value_type;
    std::vector<T> now(x.begin(), x.end());
    Shape shape = r.shape(0);
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      if (is_identity(taps[axis], shape[axis])) continue;
      now = resampled<T>(now, shape, axis, taps[axis], T(a.extrapolation_value));
      shape[axis] = int64_t(taps[axis].size());
    }
    std::copy(now.begin(), now.end(), y.begin());
  };
  r.visit1(run);
}

Values gradient(const Resize& a, Builder& b, const Tape& t) {
  const auto list = [&](size_t i) { return t.has(i) ? t.constant(i) : nullptr; };
  const TensorType& x = t.type_x(0);
  if (!x.is_static() && a.keep_aspect_ratio_policy != "stretch")
    throw unsupported("Resize", "the gradient over " + to_string(x) + " needs its extents",
                      "specialise the graph first");
  const Shape extents = x.is_static() ? x.shape() : Shape(x.dims.size(), 1);
  ResizeGrad attrs{a, scales_of_all(a, extents, list(2), list(3)),
                   region_of_all(a, x.dims.size(), list(1))};
  attrs.axes.clear();
  if (list(2)) attrs.keep_aspect_ratio_policy = "stretch";
  Values d(t.inputs(), kNoValue);
  if (t.wants(0))
    d[0] = b.op(resize_grad(), Attributes::of(attrs), {t.dy(), shape_of(b, t.x(0))})[0];
  return d;
}

Cost cost(const Resize& a, const TypesIn& in, const Types& out) {
  return map_cost(a.mode == "nearest" ? 0 : a.mode == "linear" ? 8 : 32, in, out);
}

// Axes that keep every element; the others mix neighbours. Nothing is known of symbolic ones.
AxisMap axes(const Resize& a, const TypesIn& in, const Types& out) {
  const Dims &from = in[0].dims, &to = out[0].tensor().dims;
  const auto known = [&](size_t axis) { return from[axis].known() && to[axis].known(); };
  Shape before(from.size(), 1), after = before;
  for (size_t axis = 0; axis < from.size(); ++axis) {
    if (!known(axis)) continue;
    before[axis] = from[axis].value();
    after[axis] = to[axis].value();
  }
  const bool all_known = in[0].is_static() && out[0].tensor().is_static();
  if (!all_known && a.keep_aspect_ratio_policy != "stretch") return {};
  const auto taps =
      resize_taps(a, before, after, scales_of_all(a, before, in.constant(2), in.constant(3)),
                  region_of_all(a, from.size(), in.constant(1)));
  AxisMap map;
  for (size_t axis = 0; axis < from.size(); ++axis)
    if (known(axis) && is_identity(taps[axis], before[axis]))
      map.ties.push_back({before[axis],
                          {AxisPlace::in(0, int64_t(axis)), AxisPlace::out(0, int64_t(axis))},
                          a.extrapolation_value == 0});
  return map;
}

Resized resized(const Resize& a, const TypesIn& before, const TypesIn&, const Types& wanted) {
  Resized r{Attributes::of(a), {}};
  // Sizes cannot say that an extent is open.
  if (missing(before, 3) || !wanted[0].tensor().is_static() ||
      a.keep_aspect_ratio_policy != "stretch")
    return r;
  const Shape extents = wanted[0].tensor().shape();
  std::vector<int64_t> sizes;
  for (size_t axis : resized_axes(a, int64_t(extents.size()), "Resize"))
    sizes.push_back(extents[axis]);
  r.constants.emplace_back(3, Tensor::vector_i64(sizes));
  return r;
}

// Nearest and linear stay between their operand's extremes.
QuantForm quantize(const Resize& a, const TypesIn&) {
  if (a.mode == "cubic") return {.activations = {0}};
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

OperandSpec floats(std::vector<float> values) {
  return OperandSpec::fixed(
      Tensor::from<float>({int64_t(values.size())}, std::span<const float>(values)));
}

/// How every result along one axis is made, as tables of positions and weights: as many for each,
/// the missing ones of weight 0.
struct AxisInC {
  int64_t taps = 1;
  std::string positions, weights;
  bool identity = false, nearest = false;
};

AxisInC axis_in_c(CWriter& c, const Taps& taps, int64_t extent) {
  AxisInC axis;
  if ((axis.identity = is_identity(taps, extent))) return axis;
  for (const auto& list : taps) axis.taps = std::max(axis.taps, int64_t(list.size()));
  std::vector<int32_t> positions;
  std::vector<float> weights;
  axis.nearest = axis.taps == 1;
  for (const auto& list : taps)
    for (size_t k = 0; k < size_t(axis.taps); ++k) {
      positions.push_back(k < list.size() ? int32_t(list[k].at) : 0);
      weights.push_back(k < list.size() ? float(list[k].weight) : 0.0f);
      axis.nearest = axis.nearest && weights.back() == 1;
    }
  const auto count = int64_t(positions.size());
  axis.positions =
      c.table(Tensor::from<int32_t>({count}, std::span<const int32_t>(positions)), "positions");
  if (!axis.nearest)
    axis.weights =
        c.table(Tensor::from<float>({count}, std::span<const float>(weights)), "weights");
  return axis;
}

void emit(const Resize& a, CWriter& c) {
  const Shape from = c.shape(0), to = c.out_shape(0);
  if (numel(to) == 0) return;
  const std::vector<Taps> taps =
      resize_taps(a, from, to, scales_of_all(a, from, c.constant(2), c.constant(3)),
                  region_of_all(a, from.size(), c.constant(1)));
  std::vector<AxisInC> axes;
  bool nearest = true;
  for (size_t d = 0; d < to.size(); ++d) {
    for (const auto& list : taps[d])
      if (list.empty()) c.refuse("results outside the region are extrapolated");
    axes.push_back(axis_in_c(c, taps[d], from[d]));
    nearest = nearest && (axes.back().identity || axes.back().nearest);
  }
  if (!nearest && !is_float(c.dtype(0))) c.refuse("it interpolates floats");
  const auto own = strides_of(from), steps = strides_of(to);
  std::string at = "0", target = "0", weight;
  std::function<void(size_t)> over_taps = [&](size_t d) {
    if (d == to.size()) return c.line("sum += " + weight + c.load(0, at) + ";");
    if (axes[d].identity || axes[d].nearest) return over_taps(d + 1);
    const std::string k = "k" + std::to_string(d), o = "o" + std::to_string(d);
    c.block(for_loop(k, axes[d].taps), [&] {
      const std::string place = plus(times(o, axes[d].taps), k), before = at, lighter = weight;
      at = plus(at, times(axes[d].positions + "[" + place + "]", own[d]));
      weight += axes[d].weights + "[" + place + "] * ";
      over_taps(d + 1);
      at = before;
      weight = lighter;
    });
  };
  std::function<void(size_t)> over_results = [&](size_t d) {
    if (d == to.size()) {
      if (nearest) return c.store(0, target, c.load(0, at));
      c.line(c_type(c.dtype(0)) + " sum = 0;");
      over_taps(0);
      return c.store(0, target, "sum");
    }
    const std::string o = "o" + std::to_string(d);
    c.block(for_loop(o, to[d]), [&] {
      target = plus(target, times(o, steps[d]));
      if (axes[d].identity) at = plus(at, times(o, own[d]));
      if (axes[d].nearest) at = plus(at, times(axes[d].positions + "[" + o + "]", own[d]));
      over_results(d + 1);
    });
  };
  over_results(0);
}

}  // namespace

const Room& resize() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto none = [] { return OperandSpec::omitted(); };
  static const Room
      room =
          make_room<Resize>(
              {
                  .onnx = {"Resize", 19},
                  .arity = {1, 4},
                  .attributes = resize_fields<Resize>(),
                  .infer = infer,
                  .reference = ESP_REFERENCE(Resize, reference),
                  .gradient = gradient,
                  .cost = cost,
                  .axes = axes,
                  .quantize = quantize,
                  .pointwise = not_pointwise(),
                  .expand = no_expand(),
                  .emit = emit,
                  .samples =
                      {
                          {{.coordinate_transformation_mode = "asymmetric",
                            .nearest_mode = "floor"},
                           {x({2, 3, 2, 3}), none(), floats({1, 1, 2, 2})}},
                          {{}, {x({1, 2, 4, 5}), none(), floats({1, 1, 0.6f, 1.5f})}},
                          {{.nearest_mode = "round_prefer_ceil"},
                           {x({1, 2, 4, 3}), none(), none(), OperandSpec::list({1, 2, 3, 7})}},
                          {{.mode = "linear"}, {x({1, 2, 3, 4}), none(), floats({1, 1, 2, 1.7f})}},
                          {{.coordinate_transformation_mode = "align_corners", .mode = "linear"},
                           {x({1, 2, 3, 4}), none(), none(), OperandSpec::list({1, 2, 5, 2})}},
                          {{.coordinate_transformation_mode = "pytorch_half_pixel",
                            .mode = "linear"},
                           {x({1, 1, 4}), none(), none(), OperandSpec::list({1, 1, 1})}},
                          {{.mode = "cubic"},
                           {x({1, 2, 4, 4}), none(), floats({1, 1, 1.5f, 0.8f})}},
                          {{.cubic_coeff_a = -0.5f, .exclude_outside = true, .mode = "cubic"},
                           {x({1, 1, 4, 4}), none(), floats({1, 1, 2, 2})}},
                          {{.coordinate_transformation_mode = "tf_crop_and_resize",
                            .extrapolation_value = 2,
                            .mode = "linear"},
                           {x({1, 1, 4, 4}), floats({0, 0, 0.4f, 0.6f, 1, 1, 1.2f, 1.7f}),
                            none(), OperandSpec::list({1, 1, 3, 3})}},
                          {{}, {x({0, 2, 2, 2}), none(), floats({1, 1, 2, 2})}},
                          {{.antialias = true, .mode = "linear"},
                           {x({1, 1, 7, 5}), none(), floats({1, 1, 0.4f, 1.5f})}},
                          {{.antialias = true,
                            .axes = {2, 3},
                            .exclude_outside = true,
                            .mode = "cubic"},
                           {x({1, 1, 7, 9}), none(), none(), OperandSpec::list({3, 4})}},
                          {{.axes = {-1},
                            .coordinate_transformation_mode = "half_pixel_symmetric",
                            .mode = "linear"},
                           {x({2, 5}), none(), floats({0.5f})}},
                          {{.axes = {1, 2},
                            .keep_aspect_ratio_policy = "not_larger",
                            .mode = "linear"},
                           {x({2, 4, 6}), none(), none(), OperandSpec::list({6, 7})}},
                          {{.nearest_mode = "ceil"},
                           {OperandSpec::ranged({1, 2, 3}, -9, 9, DType::i8),
                            none(), floats({1, 1, 2})}},
                      },
                  .resized = resized,
              });
  return room;
}

}  // namespace espalier::ops

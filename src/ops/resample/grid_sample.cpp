// GridSample, ONNX opset 16, and its opset 20 form for one to three spatial axes: y[n, c, o] is
// x[n, c] interpolated at grid[n, o], whose coordinates run from -1 to 1, the last one along the
// first spatial axis. Beyond the ends stand zeros, the border elements, or the mirrored operand.
// espalier.GridSampleGrad(x, grid, dy): dx and dgrid. Nearest neighbours give the grid no gradient.
#include "ops/resample/grid_sample.h"

#include <cmath>

#include "ops/catalogue.h"

namespace espalier::ops {
namespace {

Types infer(const GridSample& a, const TypesIn& in) { return {grid_result(a, in)}; }

template <class Real>
void reference(const GridSample& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const int64_t plane = product(shape, 2, shape.size());
  const int64_t points = product(r.out_shape(0), 2, shape.size());
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for_each_grid_point(a, shape, r.shape(1), r.real(1), [&](const GridPoint& p) {
    for (int64_t c = p.batch * shape[1]; c < (p.batch + 1) * shape[1]; ++c) {
      double sum = 0;
      for_each_tap(p, shape, -1, [&](int64_t at, double weight) {
        sum += weight * double(x[size_t(c * plane + at)]);
      });
      y[size_t(c * points + p.point)] = Real(sum);
    }
  });
}

Values gradient(const GridSample& a, Builder& b, const Tape& t) {
  return b.op(grid_sample_grad(), Attributes::of(a), {t.x(0), t.x(1), t.dy()});
}

Cost cost(const GridSample& a, const TypesIn& in, const Types& out) {
  const double taps = a.mode == "nearest" ? 1 : a.mode.ends_with("linear") ? 2 : 4;
  return map_cost(2 * std::pow(taps, double(in[0].rank() - 2)), in, out);
}

// Batch and channels pass.
AxisMap axes(const GridSample&, const TypesIn& in, const Types&) {
  AxisMap map;
  for (int64_t d = 0; d < 2; ++d)
    if (in[0].dims[size_t(d)].known())
      map.ties.push_back(
          {in[0].dims[size_t(d)].value(), {AxisPlace::in(0, d), AxisPlace::out(0, d)}});
  if (!map.ties.empty() && map.ties[0].places[0].axis == 0)
    map.ties[0].places.push_back(AxisPlace::in(1, 0));
  return map;
}

Types infer_grad(const GridSample& a, const TypesIn& in) {
  require_float(in, 2);
  require_like_result(in, 2, grid_result(a, in));
  return {in[0], in[1]};
}

template <class Real>
void reference_grad(const GridSample& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const int64_t plane = product(shape, 2, shape.size());
  const int64_t points = product(r.shape(2), 2, shape.size());
  const auto x = r.real(0), dy = r.real(2);
  const auto dx = r.out_real(0), dgrid = r.out_real(1);
  std::fill(dx.begin(), dx.end(), Real(0));
  for_each_grid_point(a, shape, r.shape(1), r.real(1), [&](const GridPoint& p) {
    std::array<double, 3> slope{};
    for (int64_t c = p.batch * shape[1]; c < (p.batch + 1) * shape[1]; ++c) {
      const double g = double(dy[size_t(c * points + p.point)]);
      for_each_tap(p, shape, -1, [&](int64_t at, double weight) {
        dx[size_t(c * plane + at)] += Real(weight * g);
      });
      for (size_t d = 0; d < p.axes.size(); ++d)
        for_each_tap(p, shape, int(d), [&](int64_t at, double weight) {
          slope[d] += weight * g * double(x[size_t(c * plane + at)]);
        });
    }
    const size_t axes = p.axes.size();
    for (size_t d = 0; d < axes; ++d)
      dgrid[size_t(p.batch * points + p.point) * axes + axes - 1 - d] = Real(slope[d]);
  });
}

Cost cost_grad(const GridSample& a, const TypesIn& in, const Types& out) {
  const double taps = a.mode == "nearest" ? 1 : a.mode.ends_with("linear") ? 2 : 4;
  const double axes = double(in[0].rank() - 2);
  return {0, 2 * (1 + axes) * std::pow(taps, axes) * double(in[2].numel()), traffic(in, out)};
}

/// A grid of coordinates that leave [-1, 1] at both ends.
OperandSpec grid(Shape shape) { return OperandSpec::ranged(std::move(shape), -1.6, 1.6); }

}  // namespace

const Room& grid_sample() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<GridSample>({
      .onnx = {"GridSample", 16},
      .arity = {2, 2},
      .attributes = grid_fields(),
      .infer = infer,
      .reference = ESP_REFERENCE(GridSample, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{}, {x({2, 2, 4, 3}), grid({2, 3, 2, 2})}},
                  {{true}, {x({1, 2, 4, 3}), grid({1, 3, 2, 2})}},
                  {{false, "bilinear", "border"}, {x({1, 2, 4, 3}), grid({1, 3, 2, 2})}},
                  {{true, "bilinear", "reflection"}, {x({1, 1, 4, 3}), grid({1, 4, 2, 2})}},
                  {{false, "linear", "reflection"}, {x({1, 1, 3, 2, 4}), grid({1, 2, 2, 1, 3})}},
                  {{false, "bicubic"}, {x({1, 2, 5, 4}), grid({1, 2, 3, 2})}},
                  {{true, "cubic", "reflection"}, {x({1, 1, 5}), grid({1, 4, 1})}},
                  {{false, "bicubic", "border"}, {x({1, 1, 5, 4}), grid({1, 2, 2, 2})}},
                  {{false, "nearest", "border"}, {x({1, 2, 4, 3}), grid({1, 3, 2, 2})}},
                  {{false, "nearest", "reflection"}, {x({1, 2, 4, 3}), grid({1, 3, 2, 2})}},
                  {{}, {x({0, 2, 4, 3}), grid({0, 3, 2, 2})}},
                  {{}, {x({1, 2, 0, 3}), grid({1, 3, 2, 2})}}},
  });
  return room;
}

const Room& grid_sample_grad() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<GridSample>({
      .onnx = {"GridSampleGrad", 1, "espalier"},
      .arity = {3, 3, 2, 2},
      .attributes = grid_fields(),
      .infer = infer_grad,
      .reference = ESP_REFERENCE(GridSample, reference_grad),
      .gradient = Refuse{"a second derivative of sampling is not offered"},
      .cost = cost_grad,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{}, {x({1, 2, 4, 3}), grid({1, 3, 2, 2}), x({1, 2, 3, 2})}},
                  {{true, "bicubic", "border"},
                   {x({1, 1, 4, 3}), grid({1, 2, 2, 2}), x({1, 1, 2, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

#include <cmath>

#include "ops/resample/grid_sample.h"

namespace espalier::ops {
namespace {

enum class Method : uint8_t { kNearest, kLinear, kCubic, kUnknown };

Method method_of(const std::string& mode) {
  if (mode == "nearest") return Method::kNearest;
  if (mode == "bilinear" || mode == "linear") return Method::kLinear;
  if (mode == "bicubic" || mode == "cubic") return Method::kCubic;
  return Method::kUnknown;
}

/// Keys' cubic convolution with a = -0.75 at distance d, and its derivative.
std::pair<double, double> cubic(double d) {
  constexpr double a = -0.75;
  const double u = std::abs(d), sign = d < 0 ? -1 : 1;
  if (u <= 1)
    return {((a + 2) * u - (a + 3)) * u * u + 1, sign * (3 * (a + 2) * u - 2 * (a + 3)) * u};
  if (u < 2)
    return {((a * u - 5 * a) * u + 8 * a) * u - 4 * a, sign * ((3 * a * u - 10 * a) * u + 8 * a)};
  return {0, 0};
}

/// One axis: where it begins and ends in units of its elements, and how it goes on beyond.
struct Axis {
  double low, high;
  int64_t extent;
  const std::string& padding;

  /// x mirrored at both ends until it lies between them, and the direction in which it then runs.
  std::pair<double, double> mirrored(double x) const {
    const double range = high - low;
    if (range == 0) return {low, 0};
    const double turns = std::floor((x - low) / range), rest = x - low - turns * range;
    return std::fmod(turns, 2) == 0 ? std::pair(low + rest, 1.0) : std::pair(high - rest, -1.0);
  }

  /// The element that stands at position `at`, or -1.
  int64_t element(double at) const {
    const auto clamped = [&](double v) { return int64_t(std::clamp(v, 0.0, double(extent - 1))); };
    if (at >= 0 && at <= double(extent - 1)) return int64_t(at);
    if (padding == "zeros") return -1;
    return clamped(padding == "border" ? at : std::trunc(mirrored(at).first));
  }
};

}  // namespace

std::vector<Field> grid_fields() {
  return {{"align_corners", &GridSample::align_corners},
          {"mode", &GridSample::mode},
          {"padding_mode", &GridSample::padding_mode}};
}

TensorType grid_result(const GridSample& a, const TypesIn& in) {
  if (method_of(a.mode) == Method::kUnknown)
    in.fail("mode '" + a.mode + "' is not known",
            "known: bilinear (linear), nearest, bicubic (cubic)");
  if (a.padding_mode != "zeros" && a.padding_mode != "border" && a.padding_mode != "reflection")
    in.fail("padding_mode '" + a.padding_mode + "' is not known",
            "known: zeros, border, reflection");
  require_float(in, 0);
  require_float(in, 1);
  const Dims &x = in[0].dims, &grid = in[1].dims;
  if (x.size() < 3 || x.size() > 5)
    in.fail("operand 0 is " + to_string(in[0]),
            "one to three spatial axes must follow batch and channel");
  const auto axes = int64_t(x.size()) - 2;
  if (grid.size() != x.size() || (grid.back().known() && !grid.back().is(axes)) ||
      (x[0].known() && grid[0].known() && !(x[0] == grid[0])))
    in.fail("the grid is " + to_string(in[1]) + " for " + to_string(in[0]),
            "[N, spatial axes of the result, " + std::to_string(axes) + "] is needed");
  Dims dims = {x[0].known() ? x[0] : grid[0], x[1]};
  dims.insert(dims.end(), grid.begin() + 1, grid.end() - 1);
  return {in[0].dtype, std::move(dims)};
}

GridTaps grid_taps(const GridSample& a, int64_t extent, double g) {
  GridTaps t;
  if (extent == 0) return t;
  const double n = double(extent);
  // From [-1, 1] to elements: the ends are the centres of the outer elements, or their borders.
  double slope = a.align_corners ? (n - 1) / 2 : n / 2;
  double x = a.align_corners ? (g + 1) * slope : (g + 1) * slope - 0.5;
  const Axis axis{a.align_corners ? 0 : -0.5, a.align_corners ? n - 1 : n - 0.5, extent,
                  a.padding_mode};
  const Method method = method_of(a.mode);
  // Coordinates that are no numbers lie outside; beyond every tap's reach all are alike.
  if (!std::isfinite(x)) x = -8 * n;
  if (a.padding_mode == "zeros") x = std::clamp(x, -8.0, n + 8);
  if (method == Method::kNearest) x = std::nearbyint(x);
  if (x < axis.low || x > axis.high) {
    if (a.padding_mode == "border") {
      x = std::clamp(x, 0.0, n - 1);
      slope = 0;
    } else if (a.padding_mode == "reflection") {
      const auto [inside, direction] = axis.mirrored(x);
      x = inside;
      slope *= direction;
    }
  }
  const double base = std::floor(x), part = x - base;
  if (method == Method::kNearest) {
    // Mirrored at a border between elements, a whole number becomes a whole number again.
    t.taps[0] = {axis.element(std::nearbyint(x)), 1, 0};
    t.count = 1;
  } else if (method == Method::kLinear) {
    t.taps[0] = {axis.element(base), 1 - part, -slope};
    t.taps[1] = {axis.element(base + 1), part, slope};
    t.count = 2;
  } else {
    for (int offset = -1; offset <= 2; ++offset) {
      const auto [weight, along] = cubic(part - offset);
      t.taps[t.count++] = {axis.element(base + offset), weight, along * slope};
    }
  }
  return t;
}

}  // namespace espalier::ops

// What GridSample and its gradient share: along each axis by itself, a coordinate of the grid reads
// few positions of the operand, each with a weight.
#pragma once

#include <array>
#include <string>

#include "ops/common.h"

namespace espalier::ops {

struct GridSample {
  bool align_corners = false;
  std::string mode = "bilinear";
  std::string padding_mode = "zeros";
};
std::vector<Field> grid_fields();

/// Refuses unknown modes and operands x [N, C, spatial...] and grid [N, spatial'..., axes] that do
/// not fit together; the type of the result.
TensorType grid_result(const GridSample& a, const TypesIn& in);

struct GridTap {
  int64_t at = 0;  ///< -1: outside, where zeros stand
  double weight = 0;
  double slope = 0;  ///< of the weight along the grid's coordinate
};
struct GridTaps {
  std::array<GridTap, 4> taps;
  size_t count = 0;
};
/// The taps of coordinate `g` (-1 and 1 are the ends) along an axis of that extent.
GridTaps grid_taps(const GridSample& a, int64_t extent, double g);

/// One point of the grid.
struct GridPoint {
  int64_t batch, point;        ///< which sample, and which position of the grid in it
  std::vector<GridTaps> axes;  ///< in the order of the operand's spatial axes
};
/// Calls body(point) for every point of the grid, a [N, points, axes] list of coordinates. The last
/// coordinate belongs to the first spatial axis.
template <class Real, class Body>
void for_each_grid_point(const GridSample& a, const Shape& x, const Shape& grid_shape,
                         std::span<const Real> grid, Body body) {
  const size_t axes = x.size() - 2;
  const int64_t points = product(grid_shape, 1, grid_shape.size() - 1);
  GridPoint p{0, 0, std::vector<GridTaps>(axes)};
  for (p.batch = 0; p.batch < x[0]; ++p.batch)
    for (p.point = 0; p.point < points; ++p.point) {
      const Real* at = grid.data() + (p.batch * points + p.point) * int64_t(axes);
      for (size_t d = 0; d < axes; ++d)
        p.axes[d] = grid_taps(a, x[d + 2], double(at[axes - 1 - d]));
      body(p);
    }
}

/// Calls body(offset in a plane, weight) for every position a point reads. With `sloped` >= 0 the
/// weight is its derivative along that axis' coordinate.
template <class Body>
void for_each_tap(const GridPoint& p, const Shape& x, int sloped, Body body) {
  const size_t axes = p.axes.size();
  std::array<size_t, 3> index{};
  for (const GridTaps& t : p.axes)
    if (t.count == 0) return;
  for (;;) {
    int64_t at = 0;
    double weight = 1;
    bool inside = true;
    for (size_t d = 0; d < axes; ++d) {
      const GridTap& tap = p.axes[d].taps[index[d]];
      inside = inside && tap.at >= 0;
      at = at * x[d + 2] + tap.at;
      weight *= int(d) == sloped ? tap.slope : tap.weight;
    }
    if (inside) body(at, weight);
    size_t d = axes;
    while (d-- > 0) {
      if (++index[d] < p.axes[d].count) break;
      index[d] = 0;
    }
    if (d == size_t(-1)) return;
  }
}

}  // namespace espalier::ops

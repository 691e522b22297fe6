#include "ops/quantization/linear.h"

#include <cmath>

namespace espalier::ops {
namespace {

bool per_axis(const TypesIn& in) { return in[1].rank() == 1 && !in[1].dims[0].is(1); }

std::pair<double, double> limits(DType t) {
  switch (t) {
    case DType::u8: return {0, 255};
    case DType::u16: return {0, 65535};
    case DType::i16: return {-32768, 32767};
    default: return {-128, 127};
  }
}

}  // namespace

void check_scales(const LinearQuant& a, const TypesIn& in) {
  require_float(in, 1);
  if (in[1].rank() > 1)
    in.fail("the scale is " + to_string(in[1]) + ", a number or list is needed");
  if (in.has(2) && in[2].dims != in[1].dims) {
    const bool single =
        in[2].is_static() && in[1].is_static() && in[2].numel() == 1 && in[1].numel() == 1;
    if (!single)
      in.fail("the zero point " + to_string(in[2]) + " and the scale " + to_string(in[1]) +
              " differ in shape");
  }
  if (!per_axis(in)) return;
  const Dim &extent = in[0].dims[size_t(axis_of(in, 0, a.axis))], &scales = in[1].dims[0];
  if (extent.known() && scales.known() && !(extent == scales))
    in.fail(to_string(scales) + " scales are given for axis " + std::to_string(a.axis) + " of " +
            to_string(in[0]));
}

AxisMap quantized_axes(const LinearQuant& a, const TypesIn& in, const Types&) {
  bool zero = !in.has(2);
  if (const auto points = in.has(2) ? in.ints(2) : std::nullopt)
    zero = std::all_of(points->begin(), points->end(), [](int64_t z) { return z == 0; });
  AxisMap map = AxisMap::identity(in, zero);
  if (!per_axis(in)) return map;
  const int64_t axis = axis_of(in, 0, a.axis);
  for (AxisTie& tie : map.ties) {
    if (tie.places[0].axis != axis) continue;
    tie.places.push_back(AxisPlace::in(1, 0));
    if (in.has(2)) tie.places.push_back(AxisPlace::in(2, 0));
  }
  return map;
}

int64_t quantized(double scaled, int64_t zero_point, DType to) {
  const auto [lowest, highest] = limits(to);
  if (std::isnan(scaled)) return zero_point;
  // nearbyint rounds half to even in the default mode.
  return int64_t(std::clamp(std::nearbyint(scaled) + double(zero_point), lowest, highest));
}

}  // namespace espalier::ops

#include "ops/quantization/linear.h"
#include "ops/emit.h"

#include <cmath>

namespace espalier::ops {
namespace {

bool per_axis(const LinearQuant& a, const TypesIn& in) {
  return a.block_size == 0 && in[1].rank() == 1 && !in[1].dims[0].is(1);
}

std::pair<double, double> limits(DType t) {
  switch (t) {
    case DType::u8: return {0, 255};
    case DType::u16: return {0, 65535};
    case DType::i16: return {-32768, 32767};
    default: return {-128, 127};
  }
}

/// One scale, and one zero point, for each block along the axis.
void check_blocks(const LinearQuant& a, const TypesIn& in) {
  if (a.block_size < 0) in.fail("block_size is " + std::to_string(a.block_size));
  require_rank(in, 1, in[0].rank());
  const auto axis = size_t(axis_of(in, 0, a.axis));
  for (size_t d = 0; d < in[0].dims.size(); ++d) {
    const Dim &extent = in[0].dims[d], &scales = in[1].dims[d];
    if (!extent.known() || !scales.known()) continue;
    const int64_t wanted = d == axis ? (extent.value() - 1) / a.block_size + 1 : extent.value();
    if (scales.value() != (extent.is(0) ? 0 : wanted))
      in.fail("the scales " + to_string(in[1]) + " are not one for each block of " +
              std::to_string(a.block_size) + " along axis " + std::to_string(axis) + " of " +
              to_string(in[0]));
  }
  if (!in.has(2)) return;
  bool fits = in[2].rank() == in[1].rank();
  for (size_t d = 0; fits && d < in[1].dims.size(); ++d)
    fits = !in[1].dims[d].known() || !in[2].dims[d].known() || in[1].dims[d] == in[2].dims[d];
  if (!fits)
    in.fail("the zero points " + to_string(in[2]) + " and the scales " + to_string(in[1]) +
            " differ in shape");
}

}  // namespace

void check_scales(const LinearQuant& a, const TypesIn& in) {
  require_float(in, 1);
  if (a.block_size != 0) return check_blocks(a, in);
  if (in[1].rank() > 1)
    in.fail("the scale is " + to_string(in[1]) + ", a number or list is needed");
  if (in.has(2) && in[2].dims != in[1].dims) {
    const bool single =
        in[2].is_static() && in[1].is_static() && in[2].numel() == 1 && in[1].numel() == 1;
    if (!single)
      in.fail("the zero point " + to_string(in[2]) + " and the scale " + to_string(in[1]) +
              " differ in shape");
  }
  if (!per_axis(a, in)) return;
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
  if (a.block_size > 0) {
    const int64_t axis = axis_of(in, 0, a.axis);
    std::erase_if(map.ties, [&](const AxisTie& tie) {
      return tie.places[0].axis == axis && tie.count % a.block_size != 0;
    });
    for (AxisTie& tie : map.ties) {
      const int64_t here = tie.places[0].axis;
      if (here == axis) {  // whole blocks go together
        tie.count /= a.block_size;
        for (AxisPlace& place : tie.places) place.inner = a.block_size;
      }
      tie.places.push_back(AxisPlace::in(1, here));
      if (in.has(2)) tie.places.push_back(AxisPlace::in(2, here));
    }
    return map;
  }
  if (!per_axis(a, in)) return map;
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

std::pair<int64_t, int64_t> limits_of(DType t) {
  const auto [lowest, highest] = limits(t);
  return {int64_t(lowest), int64_t(highest)};
}

void emit_scaled(const LinearQuant& a, CWriter& c,
                 const std::function<void(const std::string& at, const std::string& scale)>& body) {
  const Shape shape = c.shape(0);
  const auto rank = int64_t(shape.size());
  CWalk scale{0, std::vector<int64_t>(shape.size(), 0)}, along = scale;
  if (a.block_size > 0) scale.strides = strides_of(c.shape(1));
  if (a.block_size > 0 || per_axis(a, c.types())) {
    const auto axis = size_t(normal_axis(a.axis, rank, "scales"));
    if (a.block_size > 0) along.strides[axis] = 1;
    const int64_t step = a.block_size > 0 ? scale.strides[axis] : 1;
    scale.strides[axis] = a.block_size > 0 ? 0 : 1;
    c.nest(shape, {{0, strides_of(shape)}, scale, along}, [&](const std::vector<std::string>& at) {
      const std::string block =
          "(" + at[2] + ") / " + std::to_string(std::max<int64_t>(1, a.block_size));
      body(at[0], a.block_size > 0 ? plus(at[1], times("(" + block + ")", step)) : at[1]);
    });
    return;
  }
  c.overlay(0, 0);
  c.nest(shape, {{0, strides_of(shape)}},
         [&](const std::vector<std::string>& at) { body(at[0], "0"); });
}

}  // namespace espalier::ops

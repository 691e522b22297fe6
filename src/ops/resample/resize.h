// What Resize and its gradient share: every mode is, along each axis by itself, a weighted sum of
// few operand positions.
#pragma once

#include <vector>

#include "ops/common.h"

namespace espalier::ops {

struct Resize {
  /// A wider kernel when shrinking, so that every element counts (linear and cubic).
  bool antialias = false;
  /// The axes that scales, sizes and region are for; empty: all.
  std::vector<int64_t> axes = {};
  std::string coordinate_transformation_mode = "half_pixel";
  float cubic_coeff_a = -0.75f;
  bool exclude_outside = false;
  float extrapolation_value = 0;
  /// stretch: sizes are met; not_larger, not_smaller: one scale for all axes, the extents rounded.
  std::string keep_aspect_ratio_policy = "stretch";
  std::string mode = "nearest";
  std::string nearest_mode = "round_prefer_floor";
};
/// Attributes of ResizeGrad: Resize's, and its scales and region, for all axes, as far as they were
/// given.
struct ResizeGrad : Resize {
  std::vector<float> scales = {};
  std::vector<float> roi = {};
};

template <class A>
std::vector<Field> resize_fields(std::vector<Field> more = {}) {
  const auto own = [](auto Resize::*member) {
    using T = std::remove_cvref_t<decltype(std::declval<Resize>().*member)>;
    return static_cast<T A::*>(member);
  };
  std::vector<Field> fields = {
      {"antialias", own(&Resize::antialias)},
      {"axes", own(&Resize::axes)},
      {"coordinate_transformation_mode", own(&Resize::coordinate_transformation_mode)},
      {"cubic_coeff_a", own(&Resize::cubic_coeff_a)},
      {"exclude_outside", own(&Resize::exclude_outside)},
      {"extrapolation_value", own(&Resize::extrapolation_value)},
      {"keep_aspect_ratio_policy", own(&Resize::keep_aspect_ratio_policy)},
      {"mode", own(&Resize::mode)},
      {"nearest_mode", own(&Resize::nearest_mode)}};
  for (Field& f : more) fields.push_back(std::move(f));
  return fields;
}

/// Refuses unknown modes.
void check_resize(const TypesIn& in, const Resize& a);
/// The result's extents: extent * scale, rounded down, or to nearest where the aspect is kept.
Dims scaled_dims(const TypesIn& in, const Dims& dims, const std::vector<float>& scales,
                 bool keeps_aspect);
/// Which axes the operands are for.
std::vector<size_t> resized_axes(const Resize& a, int64_t rank, const std::string& where);
/// The scales of all axes: as given, or those that keep the aspect of a tensor that shall have
/// `sizes`; empty where the ratios of extents count. Null stands for what is not given.
std::vector<float> scales_of_all(const Resize& a, const Shape& in, const Tensor* scales,
                                 const Tensor* sizes);
/// The region for all axes; empty for the whole.
std::vector<float> region_of_all(const Resize& a, size_t rank, const Tensor* roi);

/// One operand position and its share of a result.
struct Tap {
  int64_t at;
  double weight;
};
/// For each result position along one axis its taps; none where the result lies outside the region
/// (tf_crop_and_resize) and is extrapolated.
using Taps = std::vector<std::vector<Tap>>;

/// The taps of each axis. `scales` are the factors where they were given, else the ratios of
/// extents count; `roi` are all begins, then all ends, empty for the whole.
std::vector<Taps> resize_taps(const Resize& a, const Shape& in, const Shape& out,
                              const std::vector<float>& scales, const std::vector<float>& roi);
/// Every result is the operand's element of the same index.
bool is_identity(const Taps& taps, int64_t extent);

/// The values of an optional list of floats; empty where it is omitted or unknown.
std::vector<float> float_list(const Tensor* t);

}  // namespace espalier::ops

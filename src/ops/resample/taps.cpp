#include <cmath>

#include "base/error.h"

#include "ops/resample/resize.h"

namespace espalier::ops {
namespace {

bool one_of(const std::string& s, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* w) { return s == w; });
}

/// One axis on its way from result positions to operand positions.
struct Map {
  int64_t in, out;
  double scale;
  double width;               ///< the result's extent before it was rounded down
  double begin = 0, end = 1;  ///< the region, as shares of the extent

  double source(const std::string& mode, int64_t position) const {
    const double p = double(position);
    if (mode == "asymmetric") return p / scale;
    if (mode == "align_corners") return width == 1 ? 0 : p * double(in - 1) / (width - 1);
    if (mode == "pytorch_half_pixel" && width <= 1) return 0;
    if (mode == "tf_crop_and_resize") {
      if (out <= 1) return 0.5 * (begin + end) * double(in - 1);
      return (begin + p * (end - begin) / double(out - 1)) * double(in - 1);
    }
    // Half a pixel, about the centre of the result as it would be without rounding.
    if (mode == "half_pixel_symmetric")
      return double(in) / 2 * (1 - double(out) / width) + (p + 0.5) / scale - 0.5;
    return (p + 0.5) / scale - 0.5;
  }
};

int64_t nearest(const std::string& mode, double x) {
  if (mode == "floor") return int64_t(std::floor(x));
  if (mode == "ceil") return int64_t(std::ceil(x));
  if (mode == "round_prefer_ceil") return int64_t(std::floor(x + 0.5));
  return int64_t(std::ceil(x - 0.5));
}

/// Keys' cubic convolution (IEEE TASSP 29, 1981) at distance d.
double cubic(double a, double d) {
  d = std::abs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

/// Weights that add up to 1.
void normalise(std::vector<Tap>& taps) {
  double sum = 0;
  for (const Tap& t : taps) sum += t.weight;
  if (sum == 0) return;
  for (Tap& t : taps) t.weight /= sum;
}

int64_t clamped(double at, int64_t extent) {
  return int64_t(std::clamp(at, 0.0, double(extent - 1)));
}

/// The kernel of linear or cubic interpolation stretched by 1 / scale.
std::vector<Tap> wide_taps(const Resize& r, int64_t extent, double x, double scale) {
  const double base = std::floor(x), part = x - base;
  const auto first = int64_t(std::floor((r.mode == "linear" ? -1 : -2) / scale)) + 1;
  std::vector<Tap> taps;
  for (int64_t offset = first; offset <= 1 - first; ++offset) {
    const double at = base + double(offset), d = (double(offset) - part) * scale;
    if (r.exclude_outside && (at < 0 || at > double(extent - 1))) continue;
    const double weight =
        r.mode == "linear" ? std::max(0.0, 1 - std::abs(d)) : cubic(double(r.cubic_coeff_a), d);
    if (weight != 0) taps.push_back({clamped(at, extent), weight});
  }
  normalise(taps);
  return taps;
}

std::vector<Tap> taps_at(const Resize& r, int64_t extent, double x, double scale) {
  if (r.mode == "nearest") return {{clamped(double(nearest(r.nearest_mode, x)), extent), 1}};
  if (r.antialias && scale < 1) return wide_taps(r, extent, x, scale);
  const double base = std::floor(x), part = x - base;
  if (r.mode == "linear") {
    const int64_t left = clamped(base, extent), right = clamped(base + 1, extent);
    if (left == right) return {{left, 1}};
    return {{left, 1 - part}, {right, part}};
  }
  std::vector<Tap> taps;
  for (int offset = -1; offset <= 2; ++offset) {
    const double at = base + offset;
    if (r.exclude_outside && (at < 0 || at > double(extent - 1))) continue;
    taps.push_back({clamped(at, extent), cubic(double(r.cubic_coeff_a), part - offset)});
  }
  if (r.exclude_outside) normalise(taps);
  return taps;
}

}  // namespace

void check_resize(const TypesIn& in, const Resize& a) {
  if (!one_of(a.mode, {"nearest", "linear", "cubic"}))
    in.fail("mode '" + a.mode + "' is not known", "known: nearest, linear, cubic");
  if (!one_of(a.coordinate_transformation_mode,
              {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
               "asymmetric", "tf_crop_and_resize"}))
    in.fail(
        "coordinate_transformation_mode '" + a.coordinate_transformation_mode + "' is not known",
        "known: half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric, "
        "tf_crop_and_resize");
  if (!one_of(a.nearest_mode, {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}))
    in.fail("nearest_mode '" + a.nearest_mode + "' is not known",
            "known: round_prefer_floor, round_prefer_ceil, floor, ceil");
  if (!one_of(a.keep_aspect_ratio_policy, {"stretch", "not_larger", "not_smaller"}))
    in.fail("keep_aspect_ratio_policy '" + a.keep_aspect_ratio_policy + "' is not known",
            "known: stretch, not_larger, not_smaller");
  if (!is_float(in[0].dtype) && a.mode != "nearest")
    in.fail("operand 0 is " + std::string(name_of(in[0].dtype)) + " and cannot be interpolated",
            "insert a Cast, or use mode nearest");
}

Dims scaled_dims(const TypesIn& in, const Dims& dims, const std::vector<float>& scales,
                 bool keeps_aspect) {
  if (scales.size() != dims.size())
    in.fail(std::to_string(scales.size()) + " scales are given for " + std::to_string(dims.size()) +
            " axes");
  Dims out;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!(scales[i] > 0) || !std::isfinite(scales[i]))
      in.fail("the scale " + std::to_string(scales[i]) + " is not positive");
    if (scales[i] == 1) {
      out.push_back(dims[i]);
    } else if (!dims[i].known()) {
      out.push_back(Dim::unknown());
    } else {
      const float exact = float(dims[i].value()) * scales[i];
      const float extent = keeps_aspect ? std::round(exact) : std::floor(exact);
      if (!(extent < 1e12f)) in.fail("the scale " + std::to_string(scales[i]) + " is too large");
      out.emplace_back(int64_t(extent));
    }
  }
  return out;
}

std::vector<size_t> resized_axes(const Resize& a, int64_t rank, const std::string& where) {
  std::vector<size_t> axes;
  if (a.axes.empty())
    for (int64_t i = 0; i < rank; ++i) axes.push_back(size_t(i));
  for (int64_t axis : a.axes) {
    axes.push_back(size_t(normal_axis(axis, rank, where)));
    if (std::count(axes.begin(), axes.end(), axes.back()) > 1)
      throw bad_input(where, "axes " + to_string(a.axes) + " name one twice");
  }
  return axes;
}

std::vector<float> scales_of_all(const Resize& a, const Shape& in, const Tensor* scales,
                                 const Tensor* sizes) {
  const std::vector<size_t> axes = resized_axes(a, int64_t(in.size()), "Resize");
  std::vector<float> all(in.size(), 1);
  if (scales && scales->size() > 0) {
    if (scales->size() != int64_t(axes.size())) return {};  // which infer refuses
    for (size_t i = 0; i < axes.size(); ++i) all[axes[i]] = float(scales->at(int64_t(i)));
    return all;
  }
  if (a.keep_aspect_ratio_policy == "stretch" || !sizes || sizes->size() != int64_t(axes.size()))
    return {};
  float one = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const float ratio = float(sizes->int_at(int64_t(i))) / float(in[axes[i]]);
    const bool better = a.keep_aspect_ratio_policy == "not_larger" ? ratio < one : ratio > one;
    if (i == 0 || better) one = ratio;
  }
  for (size_t axis : axes) all[axis] = one;
  return all;
}

std::vector<float> region_of_all(const Resize& a, size_t rank, const Tensor* roi) {
  const std::vector<size_t> axes = resized_axes(a, int64_t(rank), "Resize");
  if (!roi || roi->size() != int64_t(2 * axes.size())) return {};
  std::vector<float> all(2 * rank, 0);
  std::fill(all.begin() + int64_t(rank), all.end(), 1.0f);
  for (size_t i = 0; i < axes.size(); ++i) {
    all[axes[i]] = float(roi->at(int64_t(i)));
    all[rank + axes[i]] = float(roi->at(int64_t(axes.size() + i)));
  }
  return all;
}

std::vector<Taps> resize_taps(const Resize& a, const Shape& in, const Shape& out,
                              const std::vector<float>& scales, const std::vector<float>& roi) {
  const std::string& mode = a.coordinate_transformation_mode;
  const bool crop = mode == "tf_crop_and_resize";
  std::vector<Taps> axes;
  for (size_t axis = 0; axis < in.size(); ++axis) {
    const double extent = double(in[axis]), wanted = double(out[axis]);
    Map map{in[axis], out[axis],
            scales.empty() ? wanted / std::max(1.0, extent) : double(scales[axis]),
            scales.empty() ? wanted : extent * double(scales[axis])};
    if (crop && roi.size() == 2 * in.size()) {
      map.begin = double(roi[axis]);
      map.end = double(roi[in.size() + axis]);
    }
    Taps taps;
    for (int64_t i = 0; i < out[axis]; ++i) {
      const double x = map.source(mode, i);
      // So is what a region that is no number says.
      const bool outside = crop && !(x >= 0 && x <= double(in[axis] - 1));
      taps.push_back(in[axis] == 0 || outside ? std::vector<Tap>{}
                                              : taps_at(a, in[axis], x, map.scale));
    }
    axes.push_back(std::move(taps));
  }
  return axes;
}

bool is_identity(const Taps& taps, int64_t extent) {
  if (int64_t(taps.size()) != extent) return false;
  for (int64_t i = 0; i < extent; ++i) {
    bool kept = false;  // not so where the region ends before it
    for (const Tap& t : taps[size_t(i)]) {
      if (t.at == i ? t.weight != 1 : t.weight != 0) return false;
      kept = kept || t.at == i;
    }
    if (!kept) return false;
  }
  return true;
}

std::vector<float> float_list(const Tensor* t) {
  std::vector<float> values;
  for (int64_t i = 0; t && i < t->size(); ++i) values.push_back(float(t->at(i)));
  return values;
}

}  // namespace espalier::ops

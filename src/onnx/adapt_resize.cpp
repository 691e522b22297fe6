// Adapters of resampling. Upsample and the first Resize had one coordinate rule, later ones choose.
#include <algorithm>
#include <array>

#include "onnx/adapt.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

// Upsample: scales were two attributes (opset 1), one (7), an operand (9).
Result upsample(Call& c) {
  if (c.opset < 7) {
    const float height = c.take_float("height_scale").value_or(1);
    const float width = c.take_float("width_scale").value_or(1);
    c.attrs["scales"] = std::vector<float>{1, 1, height, width};
    if (c.type(0).rank() != 4) c.malformed("scales height and width of an operand of other rank");
  }
  if (c.opset < 9) {
    const auto scales = c.take_floats("scales");
    if (!scales) c.malformed("attribute 'scales' is missing");
    c.drop_inputs(1);
    c.set_input(1, c.b.constant(Tensor::from<float>({int64_t(scales->size())}, *scales)));
  }
  c.op = "Resize";
  return std::nullopt;
}

// Up to opset 10 x_in = x_out / scale, without the half-pixel shift; the nearest pixel lies below
// when enlarging, above when shrinking.
Result one_coordinate_rule(Call& c) {
  const Tensor* scales = c.has(1) && c.b.graph().is_constant(c.inputs[1])
                             ? &*c.b.graph().value(c.inputs[1]).constant
                             : nullptr;
  bool shrinks = false;
  for (int64_t i = 0; scales && i < scales->size(); ++i) shrinks |= scales->at(i) < 1;
  if (c.inputs.size() < 2) c.malformed("has no scales");
  c.inputs.insert(c.inputs.begin() + 1, kNoValue);
  if (const auto mode = c.take_string("mode"))
    c.attrs["mode"] = *mode == "bilinear" ? std::string("linear") : *mode;
  c.attrs["coordinate_transformation_mode"] = std::string("asymmetric");
  c.attrs["nearest_mode"] = std::string(shrinks ? "ceil" : "floor");
  return std::nullopt;
}

// Opsets 11 and 12 knew x_in = (x_out + 0.5) / scale for nearest neighbours: half a pixel beyond
// half_pixel, which another rounding takes back.
Result half_pixel_for_nearest(Call& c) {
  const auto text = [&](const char* name, const char* otherwise) {
    const auto it = c.attrs.find(name);
    const auto* s = it == c.attrs.end() ? nullptr : std::get_if<std::string>(&it->second);
    return s ? *s : std::string(otherwise);  // the room refuses other kinds of value
  };
  if (text("coordinate_transformation_mode", "") != "tf_half_pixel_for_nn") return std::nullopt;
  const std::string rounding = text("nearest_mode", "round_prefer_floor");
  if (text("mode", "nearest") != "nearest" ||
      (rounding != "floor" && rounding != "round_prefer_floor"))
    c.refuse("tf_half_pixel_for_nn is supported for nearest neighbours rounded down");
  c.attrs["coordinate_transformation_mode"] = std::string("half_pixel");
  c.attrs["nearest_mode"] = std::string(rounding == "floor" ? "round_prefer_ceil" : "ceil");
  return std::nullopt;
}

/// `values` for `axes` spelled out for all axes, `fill` elsewhere.
template <class T>
std::vector<T> of_all_axes(Call& c, const std::vector<T>& values, const std::vector<int64_t>& axes,
                           std::vector<T> fill) {
  if (values.size() != axes.size()) c.malformed("needs one scale or size for each axis");
  for (size_t i = 0; i < axes.size(); ++i)
    fill[size_t(normal_axis(axes[i], int64_t(fill.size()), c.where))] = values[i];
  return fill;
}

bool is_stretch(const AttributeValue& policy) {
  const auto* text = std::get_if<std::string>(&policy);
  return text && *text == "stretch";
}

// Since opset 18 scales or sizes may be for some axes only; spelled out for all of them where they
// are known, which older opsets can say too.
Result known_axes(Call& c) {
  const Graph& g = c.b.graph();
  const auto known = [&](size_t i) { return c.has(i) && g.is_constant(c.inputs[i]); };
  const auto policy = c.attrs.find("keep_aspect_ratio_policy");
  const bool region = c.has(1) && !(c.type(1).rank() == 1 && c.type(1).dims[0].is(0));
  if (region || (policy != c.attrs.end() && !is_stretch(policy->second))) return std::nullopt;
  const TensorType type = c.type(0);
  const bool by_sizes = known(3) && type.is_static(), by_scales = !c.has(3) && known(2);
  if (!by_sizes && !by_scales) return std::nullopt;
  const auto axes = c.take_ints("axes");
  if (!axes || axes->empty()) return std::nullopt;
  if (by_sizes) {
    c.inputs[3] = c.b.ints(of_all_axes(c, c.ints(3, "the sizes"), *axes, type.shape()));
    return std::nullopt;
  }
  std::vector<float> scales;
  const Tensor& given = c.constant(2, "the scales");
  if (!is_float(given.dtype())) c.malformed("its scales are no floats");
  for (int64_t i = 0; i < given.size(); ++i) scales.push_back(float(given.at(i)));
  const auto all = of_all_axes(c, scales, *axes, std::vector<float>(type.dims.size(), 1.0f));
  c.inputs[2] = c.b.constant(Tensor::from<float>({int64_t(all.size())}, std::span(all)));
  return std::nullopt;
}

// An empty list stood for an omitted one.
Result empty_means_omitted(Call& c) {
  for (size_t i = 1; i < c.inputs.size(); ++i)
    if (c.has(i) && c.type(i).rank() == 1 && c.type(i).dims[0].is(0)) c.inputs[i] = kNoValue;
  while (!c.inputs.empty() && c.inputs.back() == kNoValue) c.inputs.pop_back();
  return std::nullopt;
}

// Opset 20 renamed the modes of GridSample.
Result modes_of_old(Call& c) {
  const auto it = c.attrs.find("mode");
  auto* mode = it == c.attrs.end() ? nullptr : std::get_if<std::string>(&it->second);
  if (mode && *mode == "linear") *mode = "bilinear";
  if (mode && *mode == "cubic") *mode = "bicubic";
  return std::nullopt;
}

// Before opset 16 regions were not shifted by half a pixel.
Result unshifted_regions(Call& c) {
  c.attrs.emplace("coordinate_transformation_mode", std::string("output_half_pixel"));
  return std::nullopt;
}

constexpr std::array kAdapters = {
    Adapter{"Upsample", 1, 10, upsample, "Resize"},
    Adapter{"Resize", 1, 11, one_coordinate_rule},
    Adapter{"Resize", 11, 13, half_pixel_for_nearest},
    Adapter{"Resize", 18, kEveryOpset, known_axes},
    Adapter{"Resize", 1, kEveryOpset, empty_means_omitted},
    Adapter{"GridSample", 20, kEveryOpset, modes_of_old},
    Adapter{"RoiAlign", 1, 16, unshifted_regions},
};

}  // namespace

std::span<const Adapter> resize_adapters() { return kAdapters; }

}  // namespace espalier

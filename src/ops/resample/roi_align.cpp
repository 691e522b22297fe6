// RoiAlign, ONNX opset 16 (He et al., arXiv:1703.06870): each region of interest of the feature
// maps x [N, C, H, W] is divided into bins; a bin is the mean of samples taken in it by bilinear
// interpolation. Operands: x, rois [R, 4] as x1, y1, x2, y2, batch_indices [R]. In mode max a bin
// is the largest of its samples' weighted corners, as ONNX's test cases have it, not the largest
// interpolated value.
// espalier.RoiAlignGrad(x, rois, batch_indices, dy): dx. Regions get no gradient.
#include <cmath>

#include "base/error.h"
#include "ops/catalogue.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct RoiAlign {
  std::string coordinate_transformation_mode = "half_pixel";
  std::string mode = "avg";
  int64_t output_height = 1;
  int64_t output_width = 1;
  int64_t sampling_ratio = 0;
  float spatial_scale = 1;
};

/// Samples along one side of a bin; far above any real region.
constexpr double kMostSamples = 1024;

TensorType result_of(const RoiAlign& a, const TypesIn& in) {
  require_float(in, 0);
  require_float(in, 1);
  require_rank(in, 0, 4);
  require_rank(in, 1, 2);
  require_index_type(in, 2);
  require_rank(in, 2, 1);
  if (a.mode != "avg" && a.mode != "max")
    in.fail("mode '" + a.mode + "' is not known", "known: avg, max");
  if (a.coordinate_transformation_mode != "half_pixel" &&
      a.coordinate_transformation_mode != "output_half_pixel")
    in.fail(
        "coordinate_transformation_mode '" + a.coordinate_transformation_mode + "' is not known",
        "known: half_pixel, output_half_pixel");
  if (a.output_height < 1 || a.output_width < 1 || a.sampling_ratio < 0 ||
      double(a.sampling_ratio) > kMostSamples)
    in.fail("cannot divide regions into " + std::to_string(a.output_height) + " x " +
            std::to_string(a.output_width) + " bins of " + std::to_string(a.sampling_ratio) +
            " samples along a side");
  const Dims &rois = in[1].dims, &batch = in[2].dims;
  if ((rois[1].known() && !rois[1].is(4)) ||
      (rois[0].known() && batch[0].known() && !(rois[0] == batch[0])))
    in.fail("the regions are " + to_string(in[1]) + " and their batch indices " + to_string(in[2]),
            "[R,4] and [R] are needed");
  return {in[0].dtype, {rois[0], in[0].dims[1], Dim(a.output_height), Dim(a.output_width)}};
}

Types infer(const RoiAlign& a, const TypesIn& in) { return {result_of(a, in)}; }

/// The two elements a coordinate lies between and the weight of the second; weight -1 outside.
struct Between {
  int64_t first, second;
  double weight;
};
Between between(double at, int64_t extent) {
  if (!(at >= -1 && at <= double(extent)) || extent == 0) return {0, 0, -1};
  at = std::max(at, 0.0);
  const int64_t first = int64_t(at);
  if (first >= extent - 1) return {extent - 1, extent - 1, 0};
  return {first, first + 1, at - double(first)};
}

/// Samples along one side of all bins of a region.
struct Side {
  double start, bin;
  int64_t samples;
  Side(const RoiAlign& a, double begin, double end, int64_t bins) {
    const bool half = a.coordinate_transformation_mode == "half_pixel";
    const double scale = double(a.spatial_scale), offset = half ? 0.5 : 0;
    start = begin * scale - offset;
    double size = end * scale - offset - start;
    if (!half) size = std::max(size, 1.0);
    bin = size / double(bins);
    const double wanted = a.sampling_ratio > 0 ? double(a.sampling_ratio) : std::ceil(bin);
    if (!(wanted <= kMostSamples))
      throw bad_input("RoiAlign", "a region from " + std::to_string(begin) + " to " +
                                      std::to_string(end) + " is too large to be sampled");
    samples = int64_t(std::max(0.0, wanted));
  }
  double at(int64_t b, int64_t sample) const {
    return start + double(b) * bin + (double(sample) + 0.5) * bin / double(samples);
  }
};

/// Calls body(result offset, operand plane, taps, how many samples) for every bin of every channel;
/// a tap is an offset in the plane with its weight, and (-1, 0) a sample that lies outside.
using Taps = std::vector<std::pair<int64_t, double>>;
template <class Real, class Body>
void for_each_bin(const RoiAlign& a, Ref<Real>& r, Body body) {
  const Shape& x = r.shape(0);
  const auto rois = r.real(1);
  const auto batch = r.ints(2);
  const int64_t channels = x[1];
  if (batch.empty() || channels == 0) return;
  const int64_t bins = a.output_height * a.output_width;
  Taps taps;
  for (size_t k = 0; k < batch.size(); ++k) {
    const int64_t n = batch[k];
    if (n < 0 || n >= x[0])
      throw bad_input("RoiAlign", "batch index " + std::to_string(n) + " is outside a batch of " +
                                      std::to_string(x[0]));
    const auto* roi = rois.data() + 4 * k;
    const Side width(a, double(roi[0]), double(roi[2]), a.output_width);
    const Side height(a, double(roi[1]), double(roi[3]), a.output_height);
    const double count = double(std::max<int64_t>(1, width.samples * height.samples));
    for (int64_t i = 0; i < bins; ++i) {
      taps.clear();
      for (int64_t s = 0; s < height.samples * width.samples; ++s) {
        const Between v = between(height.at(i / a.output_width, s / width.samples), x[2]);
        const Between h = between(width.at(i % a.output_width, s % width.samples), x[3]);
        if (v.weight < 0 || h.weight < 0) {
          taps.emplace_back(-1, 0);
          continue;
        }
        taps.emplace_back(v.first * x[3] + h.first, (1 - v.weight) * (1 - h.weight));
        taps.emplace_back(v.first * x[3] + h.second, (1 - v.weight) * h.weight);
        taps.emplace_back(v.second * x[3] + h.first, v.weight * (1 - h.weight));
        taps.emplace_back(v.second * x[3] + h.second, v.weight * h.weight);
      }
      for (int64_t c = 0; c < channels; ++c)
        body(size_t((int64_t(k) * channels + c) * bins + i), n * channels + c, taps, count);
    }
  }
}

/// The tap that mode max chooses: the first of the largest products.
template <class Real>
size_t largest(const Taps& taps, const Real* plane) {
  const auto value = [&](size_t i) {
    return taps[i].first < 0 ? 0 : taps[i].second * double(plane[taps[i].first]);
  };
  size_t best = 0;
  for (size_t i = 1; i < taps.size(); ++i)
    if (value(i) > value(best)) best = i;
  return best;
}

template <class Real>
void reference(const RoiAlign& a, Ref<Real>& r) {
  const int64_t size = r.shape(0)[2] * r.shape(0)[3];
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for_each_bin(a, r, [&](size_t to, int64_t plane, const Taps& taps, double count) {
    const Real* px = x.data() + plane * size;
    double sum = 0;
    if (a.mode == "avg") {
      for (const auto& [at, weight] : taps)
        if (at >= 0) sum += weight * double(px[at]) / count;
    } else if (!taps.empty()) {
      const auto& [at, weight] = taps[largest(taps, px)];
      if (at >= 0) sum = weight * double(px[at]);
    }
    y[to] = Real(sum);
  });
}

Values gradient(const RoiAlign& a, Builder& b, const Tape& t) {
  Values d(3, kNoValue);
  d[0] = b.op(roi_align_grad(), Attributes::of(a), {t.x(0), t.x(1), t.x(2), t.dy()}).at(0);
  return d;
}

/// Samples are counted as those of a ratio of 2 where the regions decide.
double sample_flops(const RoiAlign& a) {
  const double side = a.sampling_ratio > 0 ? double(a.sampling_ratio) : 2;
  return 8 * side * side;
}

Cost cost(const RoiAlign& a, const TypesIn& in, const Types& out) {
  return map_cost(sample_flops(a), in, out);
}

// Channels pass; regions go with their batch indices.
AxisMap axes(const RoiAlign&, const TypesIn& in, const Types&) {
  AxisMap map;
  if (in[0].dims[1].known())
    map.ties.push_back({in[0].dims[1].value(), {AxisPlace::in(0, 1), AxisPlace::out(0, 1)}});
  if (in[1].dims[0].known())
    map.ties.push_back({in[1].dims[0].value(),
                        {AxisPlace::in(1, 0), AxisPlace::in(2, 0), AxisPlace::out(0, 0)},
                        false});
  return map;
}

Types infer_grad(const RoiAlign& a, const TypesIn& in) {
  require_float(in, 3);
  require_like_result(in, 3, result_of(a, in));
  return {in[0]};
}

template <class Real>
void reference_grad(const RoiAlign& a, Ref<Real>& r) {
  const int64_t size = r.shape(0)[2] * r.shape(0)[3];
  const auto x = r.real(0), dy = r.real(3);
  const auto dx = r.out_real(0);
  std::fill(dx.begin(), dx.end(), Real(0));
  for_each_bin(a, r, [&](size_t from, int64_t plane, const Taps& taps, double count) {
    Real* to = dx.data() + plane * size;
    const double g = double(dy[from]);
    if (a.mode == "avg") {
      for (const auto& [at, weight] : taps)
        if (at >= 0) to[at] += Real(weight * g / count);
    } else if (!taps.empty()) {
      const auto& [at, weight] = taps[largest(taps, x.data() + plane * size)];
      if (at >= 0) to[at] += Real(weight * g);
    }
  });
}

Cost cost_grad(const RoiAlign& a, const TypesIn& in, const Types& out) {
  return {0, sample_flops(a) * double(in[3].numel()), traffic(in, out)};
}

std::vector<Field> fields() {
  return {{"coordinate_transformation_mode", &RoiAlign::coordinate_transformation_mode},
          {"mode", &RoiAlign::mode},
          {"output_height", &RoiAlign::output_height},
          {"output_width", &RoiAlign::output_width},
          {"sampling_ratio", &RoiAlign::sampling_ratio},
          {"spatial_scale", &RoiAlign::spatial_scale}};
}

/// Three regions in two maps, one of which leaves the map.
OperandSpec regions() {
  return OperandSpec::fixed(
      Tensor::from<float>({3, 4}, {0, 0, 3.3f, 4.1f, 1.2f, 0.7f, 2.9f, 2.2f, -4, 2, 6, 9.5f}));
}

}  // namespace

const Room& roi_align() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<RoiAlign>({
      .onnx = {"RoiAlign", 16},
      .arity = {3, 3},
      .attributes = fields(),
      .infer = infer,
      .reference = ESP_REFERENCE(RoiAlign, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{.output_height = 2, .output_width = 2, .sampling_ratio = 2},
                   {x({2, 2, 5, 4}), regions(), OperandSpec::list({1, 0, 1})}},
                  {{.output_height = 3, .output_width = 2, .spatial_scale = 0.8f},
                   {x({2, 2, 5, 4}), regions(), OperandSpec::list({0, 0, 1})}},
                  {{.coordinate_transformation_mode = "output_half_pixel",
                    .mode = "max",
                    .output_height = 2,
                    .output_width = 3,
                    .sampling_ratio = 1},
                   {x({2, 2, 5, 4}), regions(), OperandSpec::list({1, 1, 0})}}},
  });
  return room;
}

const Room& roi_align_grad() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<RoiAlign>({
      .onnx = {"RoiAlignGrad", 1, "espalier"},
      .arity = {4, 4},
      .attributes = fields(),
      .infer = infer_grad,
      .reference = ESP_REFERENCE(RoiAlign, reference_grad),
      .gradient = Refuse{"a second derivative of region sampling is not offered"},
      .cost = cost_grad,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{.output_height = 2, .output_width = 2, .sampling_ratio = 2},
                   {x({2, 2, 5, 4}), regions(), OperandSpec::list({1, 0, 1}), x({3, 2, 2, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

// espalier.ResizeGrad(dy, x_shape): the gradient of Resize, whose interpolation is transposed along
// each axis in turn. Attributes are Resize's, with the scales and region it was given.
#include "base/error.h"
#include "ops/catalogue.h"
#include "ops/resample/resize.h"
#include "ops/window.h"

namespace espalier::ops {
namespace {

Types infer(const ResizeGrad& a, const TypesIn& in) {
  require_float(in, 0);
  check_resize(in, a);
  TensorType x(in[0].dtype, dims_operand(in, 1));
  require_rank(in, 0, x.rank());
  if (!a.scales.empty())
    require_like_result(in, 0,
                        TensorType(x.dtype, scaled_dims(in, x.dims, a.scales,
                                                        a.keep_aspect_ratio_policy != "stretch")));
  if (!a.roi.empty() && int64_t(a.roi.size()) != 2 * x.rank())
    in.fail("roi has " + std::to_string(a.roi.size()) + " entries, " +
            std::to_string(2 * x.rank()) + " are needed");
  return {std::move(x)};
}

/// Sends dy of `shape` back along one axis to `extent` positions.
template <class Real>
std::vector<Real> spread(std::span<const Real> dy, const Shape& shape, size_t axis,
                         const Taps& taps, int64_t extent) {
  const int64_t outer = product(shape, 0, axis), inner = product(shape, axis + 1, shape.size());
  const auto results = int64_t(taps.size());
  std::vector<Real> dx(size_t(outer * extent * inner), Real(0));
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < results; ++k)
      for (const Tap& tap : taps[size_t(k)]) {
        const Real* py = dy.data() + (o * results + k) * inner;
        Real* px = dx.data() + (o * extent + tap.at) * inner;
        for (int64_t i = 0; i < inner; ++i) px[i] += Real(tap.weight) * py[i];
      }
  return dx;
}

template <class Real>
void reference(const ResizeGrad& a, Ref<Real>& r) {
  const Shape& to = r.out_shape(0);
  const auto taps = resize_taps(a, to, r.shape(0), a.scales, a.roi);
  const auto dy = r.real(0);
  std::vector<Real> now(dy.begin(), dy.end());
  Shape shape = r.shape(0);
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (is_identity(taps[axis], to[axis])) continue;
    now = spread<Real>(now, shape, axis, taps[axis], to[axis]);
    shape[axis] = to[axis];
  }
  std::copy(now.begin(), now.end(), r.out_real(0).begin());
}

// Linear in dy: <g, dx> = <Resize(g), dy>, where what is extrapolated is 0.
Values gradient(const ResizeGrad& a, Builder& b, const Tape& t) {
  if (a.keep_aspect_ratio_policy != "stretch")
    throw unsupported("ResizeGrad", "the second derivative of a resize that keeps the aspect ratio",
                      "give scales instead of sizes");
  Resize forward = a;
  forward.extrapolation_value = 0;
  const auto list = [&](const std::vector<float>& values) {
    return values.empty() ? kNoValue
                          : b.constant(Tensor::from<float>({int64_t(values.size())},
                                                           std::span<const float>(values)));
  };
  Values operands = {t.dy(), list(a.roi), list(a.scales)};
  if (a.scales.empty()) operands.push_back(shape_of(b, t.x(0)));
  return {b.op(resize(), Attributes::of(forward), operands)[0], kNoValue};
}

Cost cost(const ResizeGrad& a, const TypesIn& in, const Types& out) {
  const double taps = a.mode == "nearest" ? 1 : a.mode == "linear" ? 8 : 32;
  return {0, taps * double(in[0].numel()), traffic(in, out)};
}

}  // namespace

const Room& resize_grad() {
  using G = ResizeGrad;
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<G>({
      .onnx = {"ResizeGrad", 1, "espalier"},
      .arity = {2, 2},
      .attributes = resize_fields<G>({{"scales", &G::scales}, {"roi", &G::roi}}),
      .infer = infer,
      .reference = ESP_REFERENCE(G, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{{.mode = "linear"}}, {x({1, 2, 6, 4}), OperandSpec::list({1, 2, 3, 4})}},
                  {{{}, {1, 1, 2, 1.5f}}, {x({2, 1, 4, 4}), OperandSpec::list({2, 1, 2, 3})}},
                  {{{.mode = "cubic"}, {1, 1, 1.5f}},
                   {x({1, 2, 6}), OperandSpec::list({1, 2, 4})}}},
  });
  return room;
}

}  // namespace espalier::ops

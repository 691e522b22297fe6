// DFT, ONNX opset 17: the discrete Fourier transform along one axis, y[k] = sum_j x[j] e^(-2 pi i j
// k / n), or its inverse (with 1 / n). The last axis holds real numbers (extent 1) or complex ones
// (extent 2) as real and imaginary part; results are complex. Operand 1 gives the length n to which
// the axis is cut or padded with zeros. Onesided keeps the first n / 2 + 1 results.
#include "base/error.h"
#include "ops/shape/move.h"
#include "ops/spectral/fourier.h"

namespace espalier::ops {
namespace {

struct Dft {
  int64_t axis = 1;
  bool inverse = false;
  bool onesided = false;
};

int64_t axis_of(const Dft& a, const TypesIn& in) {
  const int64_t axis = ops::axis_of(in, 0, a.axis);
  if (axis == in[0].rank() - 1) in.fail("the last axis holds the parts of complex numbers");
  return axis;
}

/// n, or nothing while it is unknown.
std::optional<int64_t> length_of(const Dft& a, const TypesIn& in) {
  if (in.has(1)) return positive_scalar(in, 1);
  const Dim& extent = in[0].dims[size_t(axis_of(a, in))];
  if (extent.is(0)) in.fail("an axis of extent 0 has no spectrum");
  return extent.known() ? std::optional(extent.value()) : std::nullopt;
}

Types infer(const Dft& a, const TypesIn& in) {
  require_complex(in, 0);
  TensorType out = in[0];
  Dim& spectrum = out.dims[size_t(axis_of(a, in))];
  const auto n = length_of(a, in);
  if (a.onesided && a.inverse)
    throw unsupported(in.where(), "is onesided and inverse", "transform back all of the spectrum");
  if (a.onesided && !in[0].dims.back().is(1))
    in.fail("is onesided, but its operand " + to_string(in[0]) + " is complex");
  if (n)
    spectrum = Dim(spectrum_length(*n, a.onesided));
  else if (in.has(1) || a.onesided)
    spectrum = Dim::unknown();
  out.dims.back() = Dim(2);
  return {std::move(out)};
}

template <class Real>
void reference(const Dft& a, Ref<Real>& r) {
  const Shape &from = r.shape(0), &to = r.out_shape(0);
  const auto axis = size_t(a.axis < 0 ? a.axis + int64_t(from.size()) : a.axis);
  const int64_t extent = from[axis], parts = from.back(), kept = to[axis];
  const int64_t n = r.has(1) ? r.tensor(1).int_at(0) : extent;
  // Elements along the axis are `inner` complex numbers apart.
  const int64_t inner = product(from, axis + 1, from.size() - 1), lines = product(from, 0, axis);
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  if (y.empty()) return;
  Fourier fourier(n, a.inverse);
  std::vector<std::complex<double>> line(static_cast<size_t>(n));
  for (int64_t o = 0; o < lines * inner; ++o) {
    const int64_t outer = o / inner, i = o % inner;
    for (int64_t j = 0; j < std::min(n, extent); ++j) {
      const auto at = size_t(((outer * extent + j) * inner + i) * parts);
      line[size_t(j)] = {double(x[at]), parts == 2 ? double(x[at + 1]) : 0};
    }
    const auto& spectrum = fourier(line);
    for (int64_t k = 0; k < kept; ++k) {
      const auto at = size_t(((outer * kept + k) * inner + i) * 2);
      y[at] = Real(spectrum[size_t(k)].real());
      y[at + 1] = Real(spectrum[size_t(k)].imag());
    }
  }
}

/// v with `axis` cut or padded with zeros to `extent`.
ValueId fitted(Builder& b, ValueId v, int64_t axis, int64_t extent) {
  const TensorType type = b.type(v);
  const int64_t more = extent - type.dims[size_t(axis)].value();
  if (more == 0) return v;
  std::vector<int64_t> pads(size_t(2 * type.rank()), 0);
  pads[size_t(type.rank() + axis)] = more;
  return b.one("Pad", {v, b.ints(pads)});
}

// The transform is linear and its matrix symmetric: dx is the conjugate transform of dy, of which a
// real operand takes the real parts.
Values gradient(const Dft& a, Builder& b, const Tape& t) {
  const Node& node = t.node();
  const TypesIn in = types_in(t.graph(), *node.room, node.inputs, node.name);
  const int64_t axis = axis_of(a, in);
  const auto n = length_of(a, in);
  if (!n || !in[0].dims[size_t(axis)].known())
    throw unsupported(in.where(), "the gradient needs the extent of the transformed axis",
                      "specialise the graph first");
  const ValueId whole = fitted(b, t.dy(), axis, *n);
  ValueId d = b.one("DFT", {whole}, {{"axis", axis}, {"inverse", int64_t{!a.inverse}}});
  d = b.mul(d, a.inverse ? 1 / double(*n) : double(*n));
  if (in[0].dims.back().is(1))
    d = b.one("Slice", {d, b.ints({0}), b.ints({1}), b.ints({in[0].rank() - 1})});
  Values dx(t.inputs(), kNoValue);
  dx[0] = fitted(b, d, axis, in[0].dims[size_t(axis)].value());
  return dx;
}

Cost cost(const Dft& a, const TypesIn& in, const Types& out) {
  const int64_t n = length_of(a, in).value_or(1), kept = spectrum_length(n, a.onesided);
  return {0, fourier_flops(double(out[0].tensor().numel()) / double(2 * kept), n),
          traffic(in, out)};
}

AxisMap axes(const Dft& a, const TypesIn& in, const Types&) {
  const int64_t axis = axis_of(a, in);
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (int64_t d = 0; d + 1 < in[0].rank(); ++d)
    if (d != axis) moved.emplace_back(d, d);
  return moved_axes(in, moved);
}

}  // namespace

const Room& dft() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto length = [](auto v) { return OperandSpec::fixed(Tensor::scalar(v)); };
  static const Room room = make_room<Dft>({
      .onnx = {"DFT", 17},
      .arity = {1, 2},
      .attributes = {{"axis", &Dft::axis},
                     {"inverse", &Dft::inverse},
                     {"onesided", &Dft::onesided}},
      .infer = infer,
      .reference = ESP_REFERENCE(Dft, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{}, {x({2, 8, 1})}},
                  {{1, true}, {x({2, 6, 3, 2})}},
                  {{2, false, true}, {x({2, 2, 5, 1})}},
                  {{-2, false, true}, {x({1, 7, 1}), length(int64_t{4})}},
                  {{1, false}, {x({1, 3, 2}), length(int32_t{12})}},
                  {{1, true}, {x({1, 5, 1}), length(int64_t{3})}},
                  {{}, {x({0, 4, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

// STFT, ONNX opset 17: the spectra of frames of a signal [batch, length, 1 or 2], frame_step apart.
// Operands: signal, frame_step, window, frame_length; the length of a frame is the last one's, or
// the window's, by which frames are multiplied. Results: [batch, frames, spectrum, 2], of a real
// signal the first half of each spectrum unless onesided is 0.
#include "base/error.h"
#include "ops/shape/move.h"
#include "ops/spectral/fourier.h"

namespace espalier::ops {
namespace {

struct Stft {
  bool onesided = true;
};

/// How a signal is framed, or nothing while operands are unknown.
struct Frames {
  int64_t step, length;
  /// How many begin and end inside a signal of that length.
  int64_t count(int64_t signal) const { return signal < length ? 0 : 1 + (signal - length) / step; }
};

std::optional<Frames> frames_of(const TypesIn& in) {
  const auto step = positive_scalar(in, 1);
  std::optional<int64_t> length;
  if (in.has(3)) length = positive_scalar(in, 3);
  if (in.has(2)) {
    require_rank(in, 2, 1);
    const Dim& window = in[2].dims[0];
    if (length && window.known() && !window.is(*length))
      in.fail("the window is " + to_string(in[2]) + ", frames are " + std::to_string(*length) +
              " long");
    if (!in.has(3) && window.known()) length = window.value();
    if (length == 0) in.fail("frames of length 0 have no spectrum");
  } else if (!in.has(3)) {
    in.fail("neither a window nor a frame_length is given");
  }
  if (!step || !length) return std::nullopt;
  return Frames{*step, *length};
}

Types infer(const Stft& a, const TypesIn& in) {
  require_complex(in, 0);
  require_rank(in, 0, 3);
  if (in.has(2) && in[2].dtype != in[0].dtype)
    in.fail("the window is " + to_string(in[2]) + ", the signal " + to_string(in[0]));
  if (a.onesided && !in[0].dims.back().is(1))
    in.fail("is onesided, but its signal " + to_string(in[0]) + " is complex", "set onesided to 0");
  Dims dims = {in[0].dims[0], Dim::unknown(), Dim::unknown(), Dim(2)};
  if (const auto frames = frames_of(in)) {
    if (in[0].dims[1].known()) dims[1] = Dim(frames->count(in[0].dims[1].value()));
    dims[2] = Dim(spectrum_length(frames->length, a.onesided));
  }
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference(const Stft&, Ref<Real>& r) {
  const int64_t step = r.tensor(1).int_at(0);
  const int64_t length = r.has(3) ? r.tensor(3).int_at(0) : r.shape(2)[0];
  const int64_t signal = r.shape(0)[1], parts = r.shape(0)[2];
  const int64_t frames = r.out_shape(0)[1], kept = r.out_shape(0)[2];
  const auto x = r.real(0);
  const auto window = r.has(2) ? r.real(2) : std::span<const Real>();
  const auto y = r.out_real(0);
  Fourier fourier(length, false);
  std::vector<std::complex<double>> frame(static_cast<size_t>(length));
  for (int64_t o = 0; o < r.shape(0)[0] * frames; ++o) {
    const int64_t first = o / frames * signal + o % frames * step;
    for (int64_t j = 0; j < length; ++j) {
      const auto at = size_t((first + j) * parts);
      const double w = window.empty() ? 1 : double(window[size_t(j)]);
      frame[size_t(j)] = {w * double(x[at]), parts == 2 ? w * double(x[at + 1]) : 0};
    }
    const auto& spectrum = fourier(frame);
    for (int64_t k = 0; k < kept; ++k) {
      const auto at = size_t((o * kept + k) * 2);
      y[at] = Real(spectrum[size_t(k)].real());
      y[at + 1] = Real(spectrum[size_t(k)].imag());
    }
  }
}

// Frames gathered from the signal, multiplied by the window, transformed.
Values expand(const Stft& a, Builder& b, const Values& v) {
  std::vector<TypesIn::Operand> operands;
  for (ValueId id : v) {
    if (id == kNoValue) {
      operands.push_back({});
      continue;
    }
    const Value& value = b.graph().value(id);
    operands.push_back({&value.type, value.constant ? &*value.constant : nullptr});
  }
  const TypesIn in("STFT", operands);
  const auto frames = frames_of(in);
  if (!frames || !in[0].dims[1].known())
    throw unsupported("STFT", "needs the lengths of its signal and frames to be expanded",
                      "make frame_step and frame_length constants of the model");
  const int64_t count = frames->count(in[0].dims[1].value());
  Tensor positions(DType::i64, {count, frames->length});
  for (int64_t i = 0; i < positions.size(); ++i)
    positions.mutable_data<int64_t>()[i] = i / frames->length * frames->step + i % frames->length;
  ValueId framed = b.one("Gather", {v[0], b.constant(positions)}, {{"axis", int64_t{1}}});
  if (in.has(2)) framed = b.mul(framed, b.one("Unsqueeze", {v[2], b.ints({1})}));
  return {b.one("DFT", {framed}, {{"axis", int64_t{2}}, {"onesided", int64_t{a.onesided}}})};
}

Cost cost(const Stft&, const TypesIn& in, const Types& out) {
  const auto frames = frames_of(in);
  const int64_t n = frames ? frames->length : 1;
  const double count = double(out[0].tensor().dims[0].value() * out[0].tensor().dims[1].value());
  return {0, fourier_flops(count, n) + 2 * count * double(n), traffic(in, out)};
}

AxisMap axes(const Stft&, const TypesIn& in, const Types&) {
  const std::pair<int64_t, int64_t> batch[] = {{0, 0}};
  return moved_axes(in, batch);
}

}  // namespace

const Room& stft() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto number = [](auto v) { return OperandSpec::fixed(Tensor::scalar(v)); };
  const auto omitted = OperandSpec::omitted();
  static const Room room = make_room<Stft>({
      .onnx = {"STFT", 17},
      .arity = {2, 4},
      .attributes = {{"onesided", &Stft::onesided}},
      .infer = infer,
      .reference = ESP_REFERENCE(Stft, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {x({2, 20, 1}), number(int64_t{4}), x({8})}},
                  {{}, {x({1, 13, 1}), number(int64_t{3}), omitted, number(int64_t{5})}},
                  {{false}, {x({1, 12, 2}), number(int32_t{2}), x({4}), number(int32_t{4})}},
                  {{}, {x({0, 8, 1}), number(int64_t{4}), omitted, number(int64_t{4})}}},
  });
  return room;
}

}  // namespace espalier::ops

// MelWeightMatrix, ONNX opset 17: the matrix [dft_length / 2 + 1, num_mel_bins] that maps a
// spectrum's magnitudes to triangular bands, evenly spaced on the mel scale m = 2595 log10(1 + f /
// 700) between two edges in hertz. Operands: num_mel_bins, dft_length, sample_rate,
// lower_edge_hertz, upper_edge_hertz; the first two must be known when the graph is specialised.
#include <cmath>

#include "base/error.h"
#include "ops/common.h"

namespace espalier::ops {
namespace {

struct MelWeightMatrix {
  DType output_datatype = DType::f32;
};

Types infer(const MelWeightMatrix& a, const TypesIn& in) {
  for (size_t i = 0; i < 5; ++i) {
    if (in[i].rank() > 1) in.fail("operand " + std::to_string(i) + " is no scalar");
    if (i < 3 && in[i].dtype != DType::i64 && in[i].dtype != DType::i32)
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) +
              ", an integer is needed");
    if (i >= 3) require_float(in, i);
  }
  if (!is_float(a.output_datatype) && !is_int(a.output_datatype))
    in.fail("output_datatype is " + std::string(name_of(a.output_datatype)) +
            ", a numeric type is needed");
  const auto count = [&](size_t i) -> std::optional<int64_t> {
    const Tensor* t = in.constant(i);
    if (!t) return std::nullopt;
    if (t->size() != 1 || t->int_at(0) < 1 || t->int_at(0) > (int64_t{1} << 40))
      in.fail("operand " + std::to_string(i) + " must be one number above 0");
    return t->int_at(0);
  };
  const auto bins = count(0), length = count(1);
  count(2);
  for (size_t i = 3; i < 5; ++i)
    if (in.constant(i) && in.constant(i)->size() != 1)
      in.fail("operand " + std::to_string(i) + " must be one number");
  return {TensorType(a.output_datatype, Dims{length ? Dim(*length / 2 + 1) : Dim::unknown(),
                                             bins ? Dim(*bins) : Dim::unknown()})};
}

double to_mel(double hertz) { return 2595 * std::log10(1 + hertz / 700); }
double to_hertz(double mel) { return 700 * (std::pow(10, mel / 2595) - 1); }

/// The spectrum positions of all band edges: band i rises from [i] to [i + 1], falls to [i + 2].
template <class Real>
std::vector<int64_t> band_edges(const Ref<Real>& r, int64_t bins, int64_t positions) {
  const double length = r.tensor(1).at(0), rate = r.tensor(2).at(0);
  const double low = to_mel(r.tensor(3).at(0)), high = to_mel(r.tensor(4).at(0));
  const double step = (high - low) / double(bins + 2);
  std::vector<int64_t> edges;
  for (int64_t i = 0; i < bins + 2; ++i) {
    const double at = std::floor((length + 1) * to_hertz(low + double(i) * step) / rate);
    if (!(at >= 0 && at <= double(positions)) || !(high >= low))
      throw bad_input("MelWeightMatrix",
                      "the edges " + std::to_string(r.tensor(3).at(0)) + " and " +
                          std::to_string(r.tensor(4).at(0)) + " Hz do not lie in the spectrum",
                      "they must rise and stay below half the sample rate");
    edges.push_back(int64_t(at));
  }
  return edges;
}

template <class Real>
void reference(const MelWeightMatrix&, Ref<Real>& r) {
  const int64_t positions = r.out_shape(0)[0], bins = r.out_shape(0)[1];
  const auto edges = band_edges(r, bins, positions);
  const auto run = [&](auto y) {
    using T = std::remove_cvref_t<decltype(y[0])>;
    std::fill(y.begin(), y.end(), T(0));
    for (int64_t band = 0; band < bins; ++band) {
      const int64_t low = edges[size_t(band)], top = edges[size_t(band) + 1],
                    high = edges[size_t(band) + 2];
      for (int64_t at = low; at <= std::max(top, high - 1) && at < positions; ++at) {
        const double rising = top == low ? 1 : double(at - low) / double(top - low);
        const double weight =
            at < top || high == top ? rising : double(high - at) / double(high - top);
        y[size_t(at * bins + band)] = convert_element<T>(weight);
      }
    }
  };
  if (r.out_is_real(0))
    run(r.out_real(0));
  else
    run(r.out_ints(0));
}

Cost cost(const MelWeightMatrix&, const TypesIn& in, const Types& out) {
  return map_cost(2, in, out);
}

AxisMap axes(const MelWeightMatrix&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& mel_weight_matrix() {
  const auto count = [](int64_t v) { return OperandSpec::fixed(Tensor::scalar(v)); };
  const auto hertz = [](float v) { return OperandSpec::fixed(Tensor::scalar(v)); };
  static const Room room = make_room<MelWeightMatrix>({
      .onnx = {"MelWeightMatrix", 17},
      .arity = {5, 5},
      .attributes = {{"output_datatype", &MelWeightMatrix::output_datatype}},
      .infer = infer,
      .reference = ESP_REFERENCE(MelWeightMatrix, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{}, {count(8), count(64), count(8192), hertz(0), hertz(4096)}},
                  {{DType::f64}, {count(4), count(15), count(100), hertz(10), hertz(40)}}},
  });
  return room;
}

}  // namespace espalier::ops

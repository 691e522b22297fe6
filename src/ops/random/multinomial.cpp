// Multinomial, ONNX opset 7: class numbers drawn, with replacement, from the distributions that the
// rows of the operand [batch, classes] give as unnormalised log-probabilities.
#include <cmath>

#include "base/error.h"
#include "ops/random/draw.h"

namespace espalier::ops {
namespace {

struct Multinomial {
  float seed = 0;
  DType dtype = DType::i32;
  int64_t sample_size = 1;
};

Types infer(const Multinomial& a, const TypesIn& in) {
  require_float(in, 0);
  require_rank(in, 0, 2);
  require_key(in, 1);
  if (a.dtype != DType::i32 && a.dtype != DType::i64)
    in.fail("dtype is " + std::string(name_of(a.dtype)) + ", i32 or i64 is needed");
  if (a.sample_size < 0) in.fail("sample_size is " + std::to_string(a.sample_size));
  if (in[0].dims[1].is(0) && a.sample_size > 0) in.fail("there are no classes to draw from");
  return {TensorType(a.dtype, Dims{in[0].dims[0], Dim(a.sample_size)})};
}

template <class Real>
void reference(const Multinomial& a, Ref<Real>& r) {
  const Rng rng = generator(a.seed, r, 1);
  const auto x = r.real(0);
  const auto y = r.out_ints(0);
  const int64_t classes = r.shape(0)[1];
  std::vector<double> sums(static_cast<size_t>(classes));
  for (int64_t row = 0; row < r.shape(0)[0] && !y.empty(); ++row) {
    const auto first = x.begin() + row * classes;
    const double top = double(*std::max_element(first, first + classes));
    double sum = 0;
    for (size_t c = 0; c < sums.size(); ++c)
      sums[c] = sum += std::exp(double(first[int64_t(c)]) - top);
    if (!(sum > 0) || !std::isfinite(sum))
      throw bad_input("Multinomial", "row " + std::to_string(row) + " is no distribution",
                      "its log-probabilities must be numbers, one of them finite at least");
    for (int64_t k = row * a.sample_size; k < (row + 1) * a.sample_size; ++k) {
      const double at = rng.uniform(uint64_t(k)) * sum;
      y[size_t(k)] = std::upper_bound(sums.begin(), sums.end() - 1, at) - sums.begin();
    }
  }
}

Cost cost(const Multinomial&, const TypesIn& in, const Types& out) {
  return {0, 20 * double(in[0].numel()) + 40 * double(out[0].tensor().numel()), traffic(in, out)};
}

}  // namespace

const Room& multinomial() {
  static const Room room = make_room<Multinomial>({
      .onnx = {"Multinomial", 7},
      .arity = {1, 2},
      .attributes = {required("seed", &Multinomial::seed),
                     {"dtype", &Multinomial::dtype},
                     {"sample_size", &Multinomial::sample_size}},
      .infer = infer,
      .reference = ESP_REFERENCE(Multinomial, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes_of_draws<Multinomial>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = draws_at_random(),
      .samples = {{{}, {OperandSpec::ranged({2, 5}, -2, 2)}},
                  {{3.0f, DType::i64, 6},
                   {OperandSpec::ranged({3, 2}, -2, 2), OperandSpec::list({1, 2})}},
                  {{0, DType::i32, 2}, {OperandSpec::ranged({0, 2}, -2, 2)}}},
      .random_key = 1,
  });
  return room;
}

}  // namespace espalier::ops

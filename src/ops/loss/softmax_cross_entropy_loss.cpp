// SoftmaxCrossEntropyLoss, ONNX opset 13: softmax over axis 1 of the scores [N,C,…], then minus the
// log-probability of the label, weighted by its class' weight. The optional second result holds the
// log-probabilities.
#include <cmath>

#include "ops/loss/likelihood.h"

namespace espalier::ops {
namespace {

Types infer(const Likelihood& a, const TypesIn& in) { return {infer_likelihood(a, in), in[0]}; }

template <class Real>
void reference(const Likelihood& a, Ref<Real>& r) {
  const auto x = r.real(0);
  const int64_t classes = r.shape(0)[1], inner = product(r.shape(0), 2, r.shape(0).size());
  std::vector<double> log_p(x.begin(), x.end());
  const auto rows = classes == 0 ? 0 : int64_t(x.size()) / classes;
  for (int64_t row = 0; row < rows; ++row) {
    double* p = log_p.data() + row / inner * classes * inner + row % inner;
    double top = p[0], sum = 0;
    for (int64_t c = 0; c < classes; ++c) top = std::max(top, p[c * inner]);
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(p[c * inner] - top);
    for (int64_t c = 0; c < classes; ++c) p[c * inner] -= top + std::log(sum);
  }
  for (size_t i = 0; i < log_p.size(); ++i) r.out_real(1)[i] = Real(log_p[i]);
  likelihood(a, r, log_p);
}

Values expand(const Likelihood& a, Builder& b, const Values& in) {
  const ValueId log_p = b.one("LogSoftmax", {in[0]}, {{"axis", int64_t{1}}});
  return {expand_likelihood(a, b, log_p, in[1], in.size() > 2 ? in[2] : kNoValue), log_p};
}

Cost cost(const Likelihood&, const TypesIn& in, const Types& out) {
  return {0, 5 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const Likelihood&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& softmax_cross_entropy_loss() {
  static const Room room = make_room<Likelihood>({
      .onnx = {"SoftmaxCrossEntropyLoss", 13},
      .arity = {2, 3, 1, 2},
      .attributes = {{"reduction", &Likelihood::reduction},
                     {"ignore_index", &Likelihood::ignore_index}},
      .infer = infer,
      .reference = ESP_REFERENCE(Likelihood, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::ranged({3, 4}, -3, 3), OperandSpec::list({2, 0, 3})}},
                  {{"none", 1},
                   {OperandSpec::ranged({2, 4, 3}, -3, 3),
                    OperandSpec::ranged({2, 3}, 0, 3, DType::i64),
                    OperandSpec::ranged({4}, 0.5, 2)}}},
  });
  return room;
}

}  // namespace espalier::ops

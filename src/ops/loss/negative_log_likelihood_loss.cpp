// NegativeLogLikelihoodLoss, ONNX opset 13: minus the log-probability of the label, weighted by its
// class' weight.
#include "ops/loss/likelihood.h"

namespace espalier::ops {
namespace {

Types infer(const Likelihood& a, const TypesIn& in) { return {infer_likelihood(a, in)}; }

template <class Real>
void reference(const Likelihood& a, Ref<Real>& r) {
  const auto log_p = r.real(0);
  likelihood(a, r, std::vector<double>(log_p.begin(), log_p.end()));
}

Values expand(const Likelihood& a, Builder& b, const Values& in) {
  return {expand_likelihood(a, b, in[0], in[1], in.size() > 2 ? in[2] : kNoValue)};
}

Cost cost(const Likelihood&, const TypesIn& in, const Types& out) {
  return {0, 2 * double(in[1].numel()), traffic(in, out)};
}

AxisMap axes(const Likelihood&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& negative_log_likelihood_loss() {
  static const Room room = make_room<Likelihood>({
      .onnx = {"NegativeLogLikelihoodLoss", 13},
      .arity = {2, 3},
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
      .samples = {{{}, {OperandSpec::of({3, 4}), OperandSpec::list({2, 0, 3})}},
                  {{"sum", 2},
                   {OperandSpec::of({2, 4, 3}), OperandSpec::ranged({2, 3}, 0, 3, DType::i64),
                    OperandSpec::ranged({4}, 0.5, 2)}}},
  });
  return room;
}

}  // namespace espalier::ops

// What ONNX's classification losses share: log-probabilities [N,C,…], labels [N,…], optional
// weights [C]; a class to ignore; none, the sum or the (weighted) mean of what remains.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

struct Likelihood {
  std::string reduction = "mean";
  std::optional<int64_t> ignore_index;
};

/// Checks the operands; the loss' type.
TensorType infer_likelihood(const Likelihood& a, const TypesIn& in);
/// The loss from log-probabilities, in simpler operators. `weights` may be kNoValue.
ValueId expand_likelihood(const Likelihood& a, Builder& b, ValueId log_p, ValueId labels,
                          ValueId weights);
/// UserError for labels that are neither classes nor ignored.
void check_label(const Likelihood& a, int64_t label, int64_t classes);

/// The loss into result 0, from log-probabilities laid out as operand 0.
template <class Real>
void likelihood(const Likelihood& a, Ref<Real>& r, std::span<const double> log_p) {
  const Shape& shape = r.shape(0);
  const int64_t classes = shape[1], inner = product(shape, 2, shape.size());
  const auto labels = r.ints(1);
  const auto y = r.out_real(0);
  double sum = 0, weight_sum = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    const int64_t label = labels[i], at = int64_t(i);
    double loss = 0;
    check_label(a, label, classes);
    if (label != a.ignore_index) {
      const double weight = r.has(2) ? double(r.real(2)[size_t(label)]) : 1;
      loss = -weight * log_p[size_t((at / inner * classes + label) * inner + at % inner)];
      sum += loss;
      weight_sum += weight;
    }
    if (a.reduction == "none") y[i] = Real(loss);
  }
  if (a.reduction != "none") y[0] = Real(a.reduction == "mean" ? sum / weight_sum : sum);
}

}  // namespace espalier::ops

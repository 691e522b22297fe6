#include "ops/loss/likelihood.h"

#include "base/error.h"

namespace espalier::ops {

void check_label(const Likelihood& a, int64_t label, int64_t classes) {
  if (label == a.ignore_index || (label >= 0 && label < classes)) return;
  throw bad_input("label " + std::to_string(label),
                  "is outside the " + std::to_string(classes) + " classes",
                  "check that the data set and the network's last layer agree");
}

TensorType infer_likelihood(const Likelihood& a, const TypesIn& in) {
  if (a.reduction != "none" && a.reduction != "sum" && a.reduction != "mean")
    in.fail("reduction '" + a.reduction + "' is not known", "known: none, sum, mean");
  require_float(in, 0);
  if (in[0].rank() < 2) in.fail("scores are " + to_string(in[0]) + ", [N,C,…] is needed");
  if (in[1].dtype != DType::i64 && in[1].dtype != DType::i32)
    in.fail("labels are " + to_string(in[1]) + ", class numbers are needed");
  Dims dims = in[0].dims;
  dims.erase(dims.begin() + 1);
  bool fits = int64_t(dims.size()) == in[1].rank();
  for (size_t d = 0; fits && d < dims.size(); ++d)
    fits = !dims[d].known() || !in[1].dims[d].known() || dims[d] == in[1].dims[d];
  if (!fits) in.fail("labels " + to_string(in[1]) + " do not fit scores " + to_string(in[0]));
  if (in.has(2)) {
    require_rank(in, 2, 1);
    const Dim &classes = in[0].dims[1], &weights = in[2].dims[0];
    if (in[2].dtype != in[0].dtype || (classes.known() && weights.known() && !(classes == weights)))
      in.fail("weights " + to_string(in[2]) + " do not fit scores " + to_string(in[0]));
  }
  return {in[0].dtype, a.reduction == "none" ? dims : Dims{}};
}

ValueId expand_likelihood(const Likelihood& a, Builder& b, ValueId log_p, ValueId labels,
                          ValueId weights) {
  ValueId ignored = kNoValue, classes = labels;
  if (a.ignore_index) {
    ignored = b.one("Equal", {labels, b.scalar(double(*a.ignore_index), labels)});
    classes = b.where(ignored, b.scalar(0, labels), labels);
  }
  const ValueId one = b.ints({1});
  const ValueId picked =
      b.one("GatherElements", {log_p, b.one("Unsqueeze", {classes, one})}, {{"axis", int64_t{1}}});
  const ValueId loss = b.neg(b.one("Squeeze", {picked, one}));
  ValueId weight = weights == kNoValue ? b.one("Expand", {b.scalar(1, log_p), shape_of(b, labels)})
                                       : b.one("Gather", {weights, classes});
  if (ignored != kNoValue) weight = b.where(ignored, b.scalar(0, log_p), weight);
  const ValueId weighted = b.mul(loss, weight);
  if (a.reduction == "none") return weighted;
  const auto total = [&](ValueId v) { return b.one("ReduceSum", {v}, {{"keepdims", int64_t{0}}}); };
  return a.reduction == "sum" ? total(weighted) : b.div(total(weighted), total(weight));
}

}  // namespace espalier::ops

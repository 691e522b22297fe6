#include "train/loss.h"

#include "base/error.h"
#include "train/contrastive.h"
#include "train/temperature.h"

namespace espalier {

namespace {

void attach(StepGraph& s, const StepOptions& options) {
  Graph& g = s.graph;
  Builder b(g);
  const TensorType logits = g.value(s.logits).tensor();
  const std::string where = "output '" + g.value(s.logits).name + "'";
  if (!is_float(logits.dtype)) throw bad_input(where, "is " + to_string(logits));
  if (options.loss == Loss::kContrastive) {
    attach_contrastive_loss(s, options);
    return;
  }
  if (options.loss == Loss::kMeanSquared) {
    s.targets = g.add_input(g.fresh_name("targets"), logits);
    s.loss = b.one("espalier.MeanSquaredError", {s.logits, s.targets}, {}, "loss");
    g.add_output(s.loss);
    return;
  }
  if (options.loss == Loss::kEntropy) {
    if (logits.rank() != 2)
      throw bad_input(where, "is " + to_string(logits) + ", an entropy needs [N, classes]");
    s.targets = g.add_input(g.fresh_name("weights"), TensorType(DType::f32, Dims{logits.dims[0]}));
    const ValueId log_p = b.one("LogSoftmax", {s.logits}, {{"axis", int64_t{1}}});
    const ValueId entropy = b.neg(b.reduce_sum(b.mul(b.exp(log_p), log_p), {1}, false));
    s.loss = b.reduce_sum(b.mul(entropy, s.targets), {0}, false);
    g.rename(s.loss, g.fresh_name("loss"));
    g.add_output(s.loss);
    return;
  }
  if (logits.rank() < 2)
    throw bad_input(where, "is " + to_string(logits) + ", cross-entropy needs [N, ..., classes]");
  const Dims answers(logits.dims.begin(), logits.dims.end() - 1);
  s.targets = g.add_input(g.fresh_name("labels"), TensorType(DType::i64, answers));
  ValueId rows = s.logits, labels = s.targets;
  if (logits.rank() > 2) {
    rows = b.reshape(rows, {-1, logits.dims.back().value()});
    labels = b.reshape(labels, {-1});
  }
  s.loss = b.one("espalier.CrossEntropy", {rows, labels},
                 {{"label_smoothing", float(options.label_smoothing)}}, "loss");
  const ValueId answer = b.one("ArgMax", {rows}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}});
  const ValueId right = b.cast(b.one("Equal", {answer, labels}), DType::f32);
  s.correct = b.reduce_sum(right, {0}, false);
  if (options.rho) s.objective = robust_loss(b, s.logits, s.temperature, s.targets, *options.rho);
  g.add_output(s.loss);
  g.add_output(s.correct);
}

}  // namespace

void attach_loss(StepGraph& step, const StepOptions& options) {
  attach(step, options);
  if (step.objective == kNoValue) step.objective = step.loss;
}

}  // namespace espalier

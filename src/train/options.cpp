// Training options: what is allowed, and the text by which a resumed run is recognised.
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/rng.h"
#include "train/trainer.h"

namespace espalier {

std::string TrainOptions::fingerprint() const {
  std::ostringstream s;
  s.precision(17);
  s << "epochs=" << epochs << ";batch=" << batch << ";epoch_steps=" << epoch_steps
    << ";seed=" << seed << ";augment=" << augment.text() << ";loss=" << int(loss)
    << ";label_smoothing=" << label_smoothing << ";clip_norm=" << clip_norm
    << ";precision=" << name_of(precision) << ";output=" << output
    << ";schedule=" << int(schedule.kind) << "," << schedule.peak << "," << schedule.floor << ","
    << schedule.warmup << "," << schedule.factor;
  for (double m : schedule.milestones) s << "," << m;
  s << ";optimizer=" << optimizer.text();
  if (rho) s << ";rho=" << *rho;
  if (loss == Loss::kContrastive)
    s << ";contrastive=" << int(contrastive.kind) << "," << contrastive.temperature << ","
      << contrastive.gamma;
  if (memory > 0) s << ";memory=" << memory;
  if (reversible) s << ";reversible=true";
  if (saved_activations) s << ";saved_activations=" << text_of(*saved_activations);
  if (!rule.backpropagates()) s << ";rule=" << rule.text();
  if (trained) {
    std::string names;
    for (const std::string& name : *trained) names += name + ",";
    s << ";trained=" << trained->size() << " parameters (" << stream_of(names) << ")";
  }
  if (!norms.empty()) s << ";batch_norm=" << to_string(norms);
  if (!rate_factors.empty()) {
    std::ostringstream factors;
    factors.precision(17);
    for (const auto& [name, factor] : rate_factors) factors << name << "=" << factor << ",";
    s << ";rate_factors=" << rate_factors.size() << " (" << stream_of(factors.str()) << ")";
  }
  return s.str();
}

void TrainOptions::check(const std::string& where) const {
  const auto need = [&](bool holds, const char* what) {
    if (!holds) throw bad_input(where, what);
  };
  const auto part = [](double v) { return v >= 0 && v < 1; };
  need(epochs >= 1, "epochs must be at least 1");
  need(batch >= 1, "the batch must be at least 1");
  need(epoch_steps >= 0, "the steps of an epoch cannot be negative");
  need(eval_batch >= 1, "the evaluation batch must be at least 1");
  need(part(label_smoothing), "label smoothing must lie in [0, 1)");
  need(!rho || (*rho >= 0 && std::isfinite(*rho)), "the radius rho cannot be negative");
  need(!rho || loss == Loss::kCrossEntropy || loss == Loss::kContrastive,
       "a radius rho is of the loss cross_entropy");
  need(!rho || label_smoothing == 0, "a radius rho and label smoothing do not go together");
  need(clip_norm >= 0 && std::isfinite(clip_norm), "the clipping norm cannot be negative");
  need(memory >= 0, "the limit of memory cannot be negative");
  if (saved_activations && memory > 0)
    throw unsupported(where, "a limit of memory and saved_activations do not go together",
                      "leave one of them out");
  if (saved_activations && reversible)
    throw unsupported(where,
                      "reversible blocks and saved_activations do not go together: what is "
                      "inverted must not be rounded",
                      "leave one of them out");
  if (saved_activations && !rule.backpropagates())
    throw unsupported(
        where,
        "saved_activations are those of a backward pass, which rule '" + rule.kind + "' has not",
        "leave one of them out");
  optimizer.check(where);
  rule.check(where);
  for (const auto& [name, factor] : rate_factors)
    need(factor > 0 && std::isfinite(factor), "a factor of a rate must be positive");
  need(precision == DType::f32 || precision == DType::bf16, "the precision must be f32 or bf16");
  if (reversible && precision != DType::f32)
    throw unsupported(where, "inverts blocks in f32 alone: in bf16 what was added to is lost",
                      "leave reversible or the precision out");
  schedule.check(where);
}

StepOptions step_options(const TrainOptions& o, const Dataset& data) {
  StepOptions s = step_options(o, data.sample_shape(), data.input_type());
  s.contrastive.samples = data.size();
  return s;
}

StepOptions step_options(const TrainOptions& o, const Shape& sample, DType type) {
  StepOptions s;
  s.input = {o.batch * views_of(o.loss)};
  s.input.insert(s.input.end(), sample.begin(), sample.end());
  s.input_type = type;
  s.loss = o.loss;
  s.label_smoothing = o.label_smoothing;
  s.rho = o.rho;
  s.contrastive = o.contrastive;
  s.clip_norm = o.clip_norm;
  s.optimizer = o.optimizer;
  s.rule = o.rule;
  s.precision = o.precision;
  s.output = o.output;
  s.seed = o.seed;
  s.trained = o.trained;
  s.norms = o.norms;
  s.rate_factors = o.rate_factors;
  return s;
}

}  // namespace espalier

// Feedback alignment (Lillicrap et al. 2016, "Random synaptic feedback weights support error
// backpropagation for deep learning"): backpropagation with a fixed random matrix in the place of
// each weight on the way back.
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "train/graph_part.h"
#include "train/local_losses.h"

namespace espalier {
namespace {

/// Random elements that deviate from zero as the parameter's first ones do.
Tensor feedback(const RuleStep& rule, const std::string& name, const Tensor& first,
                const Shape& shape) {
  double squares = 0;
  for (int64_t i = 0; i < first.size(); ++i) squares += first.at(i) * first.at(i);
  const double deviation = std::sqrt(squares / double(std::max<int64_t>(1, first.size())));
  Tensor t(DType::f32, shape);
  const Rng rng(uint64_t(rule.seed("feedback")), stream_of(name));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(deviation * rng.normal(uint64_t(i)));
  return t;
}

void write(RuleStep& rule) {
  StepGraph& s = rule.step();
  Graph& g = s.graph;
  expand_contractions(s);
  // Weights as they are read, and the first parameter of each.
  std::map<ValueId, std::string> weights;
  for (const TrainedContraction& c : trained_contractions(s)) weights[c.weight] = "";
  for (const StepParameter& p : s.parameters) {
    const std::vector<bool> behind = values_behind(g, std::span(&p.value, 1));
    for (auto& [value, name] : weights)
      if (name.empty() && behind[size_t(value)]) name = p.name;
  }
  const size_t first_new = g.node_count();
  rule.differentiate(s.loss);
  const std::vector<NodeId> order = g.order();
  Builder b = rule.builder();
  for (const auto& [value, name] : weights) {
    const ValueId random =
        b.constant(feedback(rule, name, s.initial.at(name), g.value(value).tensor().shape()),
                   g.fresh_name(name + ":feedback"));
    for (NodeId id : order)
      if (size_t(id) >= first_new)
        for (ValueId& v : g.mutable_node(id).inputs)
          if (v == value) v = random;
  }
}

}  // namespace

const RuleUnit& feedback_alignment_rule() {
  static const RuleUnit unit = {
      "feedback_alignment",
      "Lillicrap et al. 2016",
      "backpropagation through fixed random matrices in the place of the weights",
      {},
      write};
  return unit;
}

}  // namespace espalier

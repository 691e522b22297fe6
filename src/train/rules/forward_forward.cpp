// Forward-forward (Hinton 2022, "The forward-forward algorithm: some preliminary investigations",
// arXiv:2212.13345), supervised. The network writes a label into each of its samples: a neutral
// one, which favours no class. Here the same samples run through it twice more, with their own
// label and with a wrong one. Each layer raises its goodness, the sum of its squared activities,
// on the former above a threshold and lowers it on the latter below, by a logistic loss of its own,
// and hands on the direction of its activities alone. The last layer learns from the loss, from
// what the others answer to the neutral label, which is how the network is used.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/rng.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "train/graph_part.h"
#include "train/local_losses.h"

namespace espalier {
namespace {

/// The constant [1, sample...] that a network adds to its samples, where it has made room for it:
/// one value above 0 at the first elements, as many as classes, and 0 elsewhere.
constexpr const char* kNeutralLabel = "neutral_label";
constexpr const char* kAsked = "take a network like zoo/forward_mlp.yaml";

Tensor drawn(const TensorType& type, uint64_t stream) {
  Tensor t(DType::f32, type.shape());
  if (!is_float(type.dtype)) return Tensor(type.dtype, type.shape());
  const Rng rng(0, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -100, 100));
  return t.cast(type.dtype);
}

/// Whether `to` reads of a sample's part of `from` the direction and not the length, which is asked
/// of the reference.
bool reads_direction_alone(const Graph& g, ValueId from, ValueId to) {
  const std::vector<ValueId> given = {from}, wanted = {to};
  const Graph part = part_of(g, given, wanted);
  const auto answered = [&](uint64_t stream, float times) {
    std::vector<Tensor> inputs;
    for (ValueId v : part.inputs()) {
      const Value& value = part.value(v);
      const bool asked = value.name == g.value(from).name;
      inputs.push_back(drawn(value.tensor(), asked ? stream : stream_of(value.name)));
      if (!asked) continue;
      Tensor scaled = inputs.back().cast(DType::f32).clone();
      const int64_t sample = scaled.size() / scaled.shape()[0];
      for (int64_t i = 0; i < sample; ++i) scaled.mutable_data<float>()[i] *= times;
      inputs.back() = scaled.cast(value.tensor().dtype);
    }
    return interpret(part, inputs).at(0);
  };
  const Tensor y = answered(1, 1), twice = answered(1, 2), other = answered(2, 1);
  double largest = 0, changed = 0, differs = 0;
  for (int64_t i = 0; i < y.size(); ++i) {
    largest = std::max(largest, std::abs(y.at(i)));
    changed = std::max(changed, std::abs(y.at(i) - twice.at(i)));
    differs = std::max(differs, std::abs(y.at(i) - other.at(i)));
  }
  return changed <= 1e-4 * largest && differs > 1e-2 * largest;
}

/// Writes the local losses of one step.
class ForwardForward {
 public:
  explicit ForwardForward(RuleStep& rule)
      : rule_(rule), local_(rule), g_(rule.step().graph), b_(rule.builder()) {}

  void run() {
    check();
    for (const LocalLosses::Layer& layer : local_.layers())
      activities_.push_back(activities(layer));
    check_all_taught();
    local_.differentiate_last();
    Read right = labelled(rule_.step().targets), wrong = labelled(wrong_labels());
    for (size_t i = 0; i < activities_.size(); ++i) {
      const ValueId positive = above(answer(i, right), -1), negative = above(answer(i, wrong), 1);
      local_.teach(b_.mul(b_.add(positive, negative), 0.5));
    }
    local_.join();
  }

 private:
  UserError refused(const std::string& what, const std::string& hint = kAsked) const {
    return unsupported("rule 'forward_forward'", what, hint);
  }

  void check() {
    const StepGraph& s = rule_.step();
    const TensorType targets = b_.type(s.targets), logits = b_.type(s.logits);
    if (targets.dtype != DType::i64 || targets.rank() != 1 || logits.rank() != 2)
      throw refused("needs one label for each sample, the targets are " + to_string(targets), "");
    classes_ = logits.shape()[1];
    batch_ = logits.shape()[0];
    if (classes_ < 2) throw refused("needs a wrong label beside the right one", "");
    label_ = g_.find(kNeutralLabel);
    if (label_ == kNoValue || !g_.is_constant(label_) || g_.users()[size_t(label_)].empty())
      throw refused("'" + g_.name + "' adds no constant '" + kNeutralLabel + "' to its samples",
                    std::string("put the block label first, or ") + kAsked);
    const Tensor& neutral = *g_.value(label_).constant;
    bool fits = neutral.dtype() == DType::f32 && neutral.shape().size() >= 2 &&
                neutral.shape()[0] == 1 && neutral.size() >= classes_ && neutral.at(0) > 0;
    for (int64_t i = 0; fits && i < neutral.size(); ++i)
      fits = neutral.at(i) == (i < classes_ ? neutral.at(0) : 0);
    if (!fits)
      throw refused("'" + std::string(kNeutralLabel) + "' of '" + g_.name + "' does not hold one " +
                        "value above 0 for each of " + std::to_string(classes_) + " classes",
                    "give the block label as many classes as the network answers");
    if (local_.layers().empty()) throw refused("'" + g_.name + "' has no hidden layer");
    for (ValueId v : g_.inputs())
      if (g_.value(v).role == Role::kBuffer)
        throw refused("'" + g_.value(v).name + "' of '" + g_.name +
                      "' is of a whole batch, and goodness of single samples");
  }

  /// What of a layer has a goodness: nearest to where it ends, a value whose length is not handed
  /// on.
  ValueId activities(const LocalLosses::Layer& layer) const {
    const ValueId own = g_.find(layer.parameter);
    const std::vector<bool> behind = values_behind(g_, std::span(&own, 1));
    std::vector<bool> leads(g_.value_count(), false);
    leads[size_t(layer.output)] = true;
    for (size_t i = g_.order().size(); i-- > 0;) {
      const NodeId id = g_.order()[i];
      const Node& n = g_.node(id);
      bool read = false;
      for (ValueId v : n.outputs) {
        if (v == kNoValue || !leads[size_t(v)]) continue;
        read = true;
        const TensorType& t = g_.value(v).tensor();
        if (v != layer.output && behind[size_t(v)] && is_float(t.dtype) && t.rank() >= 2 &&
            t.shape()[0] == batch_ && reads_direction_alone(g_, v, layer.output))
          return v;
      }
      if (!read) continue;
      if (cost_of(g_, id).macs > 0) break;
      for (ValueId v : n.inputs)
        if (v != kNoValue) leads[size_t(v)] = true;
    }
    throw refused("the layer of '" + layer.parameter + "' hands on how long its activities are, " +
                      "and the next one would have nothing to learn",
                  std::string("put the block length_norm behind its activation, or ") + kAsked);
  }

  void check_all_taught() const {
    for (const StepParameter& p : rule_.step().parameters) {
      const std::vector<bool> behind = values_behind(g_, std::span(&p.value, 1));
      if (behind[size_t(rule_.step().loss)] ||
          std::ranges::any_of(activities_, [&](ValueId v) { return bool(behind[size_t(v)]); }))
        continue;
      throw refused("'" + p.name + "' changes no activities and no answer, but what is made of " +
                        "activities for the next layer",
                    "leave it out, or freeze it by 'only'");
    }
  }

  /// i64 [batch], any label but the right one.
  ValueId wrong_labels() {
    const StepGraph& s = rule_.step();
    const ValueId key = b_.add(b_.mul(s.step, b_.ints({1, 0})), b_.ints({0, rule_.seed("labels")}));
    const ValueId uniform =
        b_.one("RandomUniform", {key},
               {{"shape", std::vector<int64_t>{batch_, classes_}}, {"seed", 0.0f}});
    ValueId scores = uniform;
    if (rule_.setting("negatives") != 0) {
      // The largest of logits, each with noise of Gumbel's distribution, is drawn by its
      // probability.
      const ValueId noise = b_.neg(log(b_.neg(log(b_.add(uniform, 1e-12)))));
      scores = b_.add(b_.cast(s.logits, DType::f32), noise);
    }
    constexpr float kNever = -1e30f;
    Tensor never(DType::f32, {classes_, classes_});
    for (int64_t c = 0; c < classes_; ++c) never.mutable_data<float>()[c * classes_ + c] = kNever;
    const ValueId others = b_.add(scores, b_.one("Gather", {b_.constant(never), s.targets}));
    const ValueId wrong =
        b_.one("ArgMax", {others}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}});
    g_.rename(wrong, g_.fresh_name("wrong_labels"));
    return wrong;
  }
  ValueId log(ValueId v) { return b_.one("Log", {v}); }

  /// What layers read in the place of values of these names.
  using Read = std::map<std::string, ValueId>;

  /// Of samples that hold those labels.
  Read labelled(ValueId labels) {
    const Tensor& neutral = *g_.value(label_).constant;
    Tensor rows(DType::f32, {classes_, neutral.size()});
    for (int64_t c = 0; c < classes_; ++c)
      rows.mutable_data<float>()[c * neutral.size() + c] = float(double(classes_) * neutral.at(0));
    const Shape sample(neutral.shape().begin() + 1, neutral.shape().end());
    return {
        {kNeutralLabel, local_.as_shape(b_.one("Gather", {b_.constant(rows), labels}), sample)}};
  }

  /// The activities of layer i, where earlier ones have answered; those behind it then read what it
  /// hands on.
  ValueId answer(size_t i, Read& read) {
    const LocalLosses::Layer& layer = local_.layers()[i];
    const std::vector<ValueId> wanted = {activities_[i], layer.output};
    Graph part = part_of(g_, {}, wanted);
    if (const ValueId neutral = part.find(kNeutralLabel); neutral != kNoValue) {
      const Type type = part.value(neutral).type;
      part.rename(neutral, part.fresh_name("left out"));
      part.replace_uses(neutral, part.add_input(kNeutralLabel, type));
      part.erase_value(neutral);
    }
    Values operands;
    for (ValueId v : part.inputs()) {
      const std::string& name = part.value(v).name;
      const auto other = read.find(name);
      operands.push_back(other == read.end() ? g_.find(name) : other->second);
    }
    const Values results = splice(b_, part, operands);
    read[g_.value(layer.stand_in).name] = local_.detached(results[1]);
    return results[0];
  }

  /// f32 [], the mean over samples of log(1 + exp(sign (goodness - threshold))).
  ValueId above(ValueId activities, double sign) {
    ValueId h = activities;
    if (b_.type(h).dtype != DType::f32) h = b_.cast(h, DType::f32);
    const Shape shape = b_.type(h).shape();
    std::vector<int64_t> axes;
    for (size_t a = 1; a < shape.size(); ++a) axes.push_back(int64_t(a));
    const ValueId mean = b_.reduce_mean(b_.mul(h, h), axes, false);
    const double elements = double(numel(shape)) / double(shape[0]);
    const double times = rule_.setting("goodness") == 0 ? elements : 1;
    const ValueId over = b_.mul(b_.add(mean, -rule_.setting("threshold")), sign * times);
    return b_.reduce_mean(b_.one("Softplus", {over}), {0}, false);
  }

  RuleStep& rule_;
  LocalLosses local_;
  Graph& g_;
  Builder b_;
  ValueId label_ = kNoValue;
  int64_t classes_ = 0, batch_ = 0;
  Values activities_;  ///< of each layer
};

void write(RuleStep& rule) { ForwardForward(rule).run(); }

}  // namespace

const RuleUnit& forward_forward_rule() {
  static const RuleUnit unit = {
      "forward_forward",
      "Hinton, arXiv:2212.13345",
      "each layer is active for samples with their label and silent for those with a wrong one",
      {{"threshold", 1, 0, 1e6, "of the mean of squared activities"},
       {"goodness",
        0,
        0,
        1,
        "what is compared: the sum with so many thresholds, or the mean",
        false,
        false,
        {"sum", "mean"}},
       {"negatives",
        0,
        0,
        1,
        "how wrong labels are drawn: alike, or by the network's answers",
        false,
        false,
        {"uniform", "likely"}}},
      write};
  return unit;
}

}  // namespace espalier

#include "train/integer_training.h"

#include <algorithm>

#include "base/error.h"
#include "bind/attention_nodes.h"
#include "bind/contraction.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "passes/differentiate.h"
#include "passes/fuse_region.h"
#include "train/loss.h"

namespace espalier {
namespace {

using bind::QuantParams;

bool is_integer_weight(const Value& v) {
  return v.role == Role::kParameter && v.constant && v.constant->dtype() == DType::i8;
}

void check(const StepOptions& o) {
  const auto settings = o.optimizer.all_settings();
  if (o.optimizer.kind != "sgd" || settings.at("momentum") != 0)
    throw unsupported("optimizer " + o.optimizer.text(),
                      "does not move integers; SGD without momentum does",
                      "optimizer: {kind: sgd, momentum: 0, weight_decay: 0}");
  if (o.optimizer.weight_decay != 0)
    throw unsupported("weight_decay", "does not reach parameters that are integers",
                      "optimizer: {kind: sgd, momentum: 0, weight_decay: 0}");
  if (!o.rate_factors.empty())
    throw unsupported("rates of single parameters", "are not offered for networks in integers");
  if (o.rho) throw unsupported("rho", "is not offered for networks in integers");
  if (o.clip_norm != 0)
    throw unsupported("clip_norm", "is not offered for networks in integers", "clip_norm: 0");
}

/// A list along one axis of a tensor of that rank.
Tensor along(const std::vector<double>& values, int64_t axis, int64_t rank) {
  Shape shape(size_t(rank), 1);
  if (values.size() > 1) shape[size_t(axis)] = std::ssize(values);
  return Tensor::from<double>(shape, std::span<const double>(values)).cast(DType::f32);
}

class IntegerStep {
 public:
  IntegerStep(const Graph& quantised, const StepOptions& options, bool scaling)
      : options_(options), scaling_(scaling), network_(quantised), b_(s_.graph) {}

  IntegerTraining run() {
    check(options_);
    widen_biases();
    s_.graph = specialised(network_, std::vector<Shape>{options_.input});
    s_.seed = options_.seed;
    s_.input = s_.graph.inputs()[0];
    s_.logits = s_.graph.outputs()[0];
    s_.graph.set_outputs({});
    open_parameters();
    pass_straight();
    attach_loss(s_, options_);
    s_.rate =
        s_.graph.add_input(s_.graph.fresh_name("learning_rate"), TensorType(DType::f32, Dims{}));
    s_.step = s_.graph.add_input(s_.graph.fresh_name("step"), TensorType(DType::i64, Dims{}));
    differentiate_and_update();
    for (const StepParameter& p : s_.parameters) s_.graph.add_state(p.value, p.updated);
    restore();
    return {std::move(network_), std::move(s_)};
  }

 private:
  /// An 8-bit weight while its real values stand for it.
  struct Weight {
    QuantParams stored;
    ValueId rest = kNoValue;
    ValueId real = kNoValue, dequantised = kNoValue;
  };
  /// Activations while their rounding is left out: product = operand * inside.
  struct Rounding {
    ValueId product = kNoValue, inside = kNoValue, dequantised = kNoValue;
    double low = 0, high = 0;  ///< what lies between, exclusive, passes gradients on
  };

  bool is_trained(const std::string& name) const {
    return !options_.trained || options_.trained->contains(name);
  }

  NodeId only_reader(const Graph& g, ValueId v) const {
    NodeId reader = kNoNode;
    for (NodeId id : g.order())
      if (std::ranges::count(g.node(id).inputs, v)) {
        if (reader != kNoNode)
          throw unsupported("parameter '" + g.value(v).name + "'",
                            "is read by several nodes, which its training in integers does not do");
        reader = id;
      }
    return reader;
  }

  /// Trained biases are f32 from here on; what they were is remembered for their scales.
  void widen_biases() {
    Graph& g = network_;
    for (ValueId v : g.constants()) {
      const Value value = g.value(v);
      if (!value.constant || value.role != Role::kParameter ||
          value.constant->dtype() != DType::i32 || !is_trained(value.name))
        continue;
      const NodeId reader = only_reader(g, v);
      const auto stored = bind::quantization_of(g, reader);
      if (!stored) throw unsupported("parameter '" + value.name + "'", "is no quantised bias");
      Tensor real(DType::f32, value.constant->shape());
      for (int64_t i = 0; i < real.size(); ++i)
        real.mutable_data<float>()[i] = float(double(value.constant->int_at(i)) *
                                              stored->scales[size_t(i) % stored->scales.size()]);
      const ValueId back = g.node(reader).outputs[0];
      const ValueId wide = g.add_constant(g.fresh_name(value.name), real, Role::kParameter);
      g.replace_uses(back, wide);
      g.erase_node(reader);
      g.erase_value(v);
      g.rename(wide, value.name);
      units_[value.name] = stored->scales;
    }
    network_ = network_.compacted();
  }

  void open_parameters() {
    Graph& g = s_.graph;
    for (ValueId v : g.constants()) {
      const Value value = g.value(v);
      if (value.role != Role::kParameter || !is_trained(value.name)) continue;
      const bool integers = is_integer_weight(value);
      if (!integers && value.constant->dtype() != DType::f32)
        throw unsupported("parameter '" + value.name + "'",
                          "is stored as " + std::string(name_of(value.constant->dtype())) +
                              "; 8-bit weights that are trained are s8",
                          "leave it out with only");
      g.rename(v, g.fresh_name(value.name));
      const ValueId state = s_.add_state(value.name, *value.constant);
      g.mutable_value(state).role = Role::kParameter;
      g.replace_uses(v, state);
      s_.parameters.push_back({value.name, state, kNoValue, kNoValue, false, false});
      if (!integers) continue;
      Weight w;
      const NodeId reader = only_reader(g, state);
      const auto stored = bind::quantization_of(g, reader);
      if (!stored || !stored->symmetric())
        throw unsupported("parameter '" + value.name + "'",
                          "is no symmetric 8-bit weight with known scales");
      w.stored = *stored;
      w.rest = s_.add_state(value.name + ":rest", Tensor(DType::i8, value.constant->shape()));
      w.dequantised = g.node(reader).outputs[0];
      w.real = g.add_input(g.fresh_name(value.name + ":real"), g.value(w.dequantised).type);
      g.replace_uses(w.dequantised, w.real);
      weights_[value.name] = w;
    }
    if (s_.parameters.empty())
      throw bad_input(network_.name, "has no parameters to train",
                      "none of those that are chosen is an 8-bit weight, a bias or f32");
  }

  /// Leaves out the rounding of what depends on something trained.
  void pass_straight() {
    Graph& g = s_.graph;
    std::vector<bool> reached(g.value_count(), false);
    for (const StepParameter& p : s_.parameters) reached[size_t(p.value)] = true;
    for (const auto& [name, w] : weights_) reached[size_t(w.real)] = true;
    const std::vector<NodeId> order = g.order();
    for (NodeId id : order) {
      const Node& n = g.node(id);
      if (std::ranges::any_of(n.inputs,
                              [&](ValueId v) { return v != kNoValue && reached[size_t(v)]; }))
        for (ValueId v : n.outputs)
          if (v != kNoValue) reached[size_t(v)] = true;
    }
    for (NodeId id : order) {
      const ValueId operand = bind::rounded_operand(g, id);
      if (operand == kNoValue || !reached[size_t(operand)]) continue;
      leave_out(id, operand);
    }
    g.sort();
  }

  /// Whether what a rectifier cuts off is at the ends of the integers that it is stored in.
  static bool cut_off_alike(const ScalarOp& f, const Rounding& r, double scale) {
    const bool clips = f.code == ScalarCode::kClip;
    if (!clips && f.code != ScalarCode::kRelu) return false;
    const double low = clips ? double(f.p0) : 0;
    return r.low > low && r.low < low + scale && (!clips || double(f.p1) >= r.high);
  }

  void leave_out(NodeId id, ValueId operand) {
    Graph& g = s_.graph;
    const QuantParams stored = *bind::quantization_of(g, id);
    const bool is_signed = stored.type == DType::i8;
    const double scale = stored.scales[0], zero = stored.zero_points[0];
    Rounding r;
    r.low = scale * ((is_signed ? -128 : 0) - zero + 0.5);
    r.high = scale * ((is_signed ? 127 : 255) - zero - 0.5);
    const NodeId before = bind::producer(g, operand);
    const auto scalar = before == kNoNode ? std::nullopt : passes::scalar_of(g, before);
    if (scalar && cut_off_alike(*scalar, r, scale)) {
      operand = g.node(before).inputs[0];
      g.mutable_node(bind::producer(g, g.node(id).inputs[0])).inputs[0] = operand;
    }
    r.dequantised = g.node(id).outputs[0];
    r.inside = g.add_input(g.fresh_name(g.value(r.dequantised).name + ":inside"),
                           g.value(r.dequantised).type);
    r.product = b_.mul(operand, r.inside);
    g.replace_uses(r.dequantised, r.product);
    roundings_.push_back(r);
  }

  void differentiate_and_update() {
    std::vector<ValueId> wrt;
    for (const StepParameter& p : s_.parameters) {
      const auto w = weights_.find(p.name);
      wrt.push_back(w == weights_.end() ? p.value : w->second.real);
    }
    const std::string loss = s_.graph.value(s_.loss).name;
    const auto gradients = differentiate(s_.graph, s_.loss, wrt);
    s_.loss = s_.graph.find(loss);
    const ValueId back = b_.neg(s_.rate);
    for (size_t i = 0; i < wrt.size(); ++i) {
      StepParameter& p = s_.parameters[i];
      p.gradient = gradients.at(wrt[i]);
      const auto w = weights_.find(p.name);
      if (w == weights_.end())
        update_bias(p);
      else
        update_weight(p, w->second, back);
    }
  }

  void update_bias(StepParameter& p) {
    ValueId g = p.gradient;
    if (const auto unit = units_.find(p.name); unit != units_.end() && !scaling_) {
      std::vector<double> gain;
      for (float s : unit->second) gain.push_back(double(s) * double(s));
      g = b_.mul(g, b_.constant(along(gain, 0, 1)));
    }
    p.updated = b_.sub(p.value, b_.mul(g, s_.rate));
  }

  void update_weight(StepParameter& p, const Weight& w, ValueId back) {
    const int64_t rank = b_.type(p.value).rank();
    std::vector<double> gain;
    for (float s : w.stored.scales) gain.push_back(scaling_ ? 1 / double(s) : double(s));
    const int64_t axis = gain.size() > 1 ? normal_axis(w.stored.axis, rank, p.name) : 0;
    const ValueId scaled = b_.mul(p.gradient, b_.constant(along(gain, axis, rank)));
    const Values next = b_.op("espalier.IntegerStep", {p.value, w.rest, b_.mul(scaled, back)});
    p.updated = next[0];
    s_.graph.add_state(w.rest, next[1]);
  }

  /// What stood for weights and activations becomes these again.
  void restore() {
    Graph& g = s_.graph;
    for (const auto& [name, w] : weights_) {
      g.replace_uses(w.real, w.dequantised);
      g.erase_input(w.real);
    }
    for (const Rounding& r : roundings_) {
      const ValueId inside =
          b_.cast(b_.one("And", {b_.greater(r.dequantised, b_.scalar(r.low, r.dequantised)),
                                 b_.less(r.dequantised, b_.scalar(r.high, r.dequantised))}),
                  DType::f32);
      g.replace_uses(r.inside, inside);
      g.replace_uses(r.product, r.dequantised);
    }
    g.sort();
    g.erase_dead();
    for (const Rounding& r : roundings_) g.erase_input(r.inside);
  }

  const StepOptions& options_;
  const bool scaling_;
  Graph network_;
  StepGraph s_;
  Builder b_;
  std::map<std::string, std::vector<float>> units_;  ///< of what trained biases were stored in
  std::map<std::string, Weight> weights_;
  std::vector<Rounding> roundings_;
};

}  // namespace

bool stores_integers(const Graph& network) {
  return std::ranges::any_of(network.constants(),
                             [&](ValueId v) { return is_integer_weight(network.value(v)); });
}

IntegerTraining build_integer_step(const Graph& quantised, const StepOptions& options,
                                   bool scaling) {
  if (!options.norms.empty())
    throw unsupported(quantised.name, "is stored as integers, which no normalisation's mode suits",
                      "leave batch_norm out");
  if (!options.rule.backpropagates())
    throw unsupported("rule '" + options.rule.kind + "'", "does not train integers",
                      "leave the rule out");
  return IntegerStep(quantised, options, scaling).run();
}

}  // namespace espalier

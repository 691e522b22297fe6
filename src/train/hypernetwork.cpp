#include "train/hypernetwork.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "ir/interpret.h"
#include "train/condition.h"
#include "train/selection.h"

namespace espalier {
namespace {

struct Spread {
  double mean = 0, deviation = 0;
};

Spread spread(const Tensor& t) {
  Spread s;
  const auto n = double(std::max<int64_t>(1, t.size()));
  for (int64_t i = 0; i < t.size(); ++i) s.mean += t.at(i) / n;
  for (int64_t i = 0; i < t.size(); ++i) s.deviation += (t.at(i) - s.mean) * (t.at(i) - s.mean) / n;
  s.deviation = std::sqrt(s.deviation);
  return s;
}

Tensor repeated(const std::vector<std::pair<int64_t, double>>& runs, int64_t total) {
  Tensor t(DType::f32, {total});
  float* to = t.mutable_data<float>();
  for (const auto& [count, value] : runs) to = std::fill_n(to, count, float(value));
  return t;
}

bool any(const Tensor& t) {
  for (int64_t i = 0; i < t.size(); ++i)
    if (t.at(i) != 0) return true;
  return false;
}

/// What the outputs of a graph are that depends on constants alone.
std::vector<Tensor> computed(Graph g, const std::vector<ValueId>& values) {
  g.set_outputs(values);
  g.erase_dead();
  for (ValueId v : std::vector<ValueId>(g.inputs().begin(), g.inputs().end())) g.erase_input(v);
  return interpret(g, {});
}

void take_value(Graph& to, const Graph& from, const std::string& name) {
  if (to.find(name) != kNoValue) return;
  const Value& v = from.value(from.find(name));
  to.add_constant(name, *v.constant, v.role);
}

}  // namespace

void HypernetworkSpec::check(const std::string& where) const {
  generator.check(where);
  if ((numbers > 0) == (tasks > 0) || numbers < 0 || tasks < 0)
    throw bad_input(where, "a condition is some numbers or one of some tasks",
                    "set 'numbers' or 'tasks', not both");
  if (tasks > 0 && encoded)
    throw bad_input(where, "the vector of a task is learned and not encoded",
                    "encode conditions that are numbers in [0, 1]");
  if (tasks > 0 && embedding < 1) throw bad_input(where, "a task's vector needs a number");
  if (!(scale > 0) || !std::isfinite(scale))
    throw bad_input(where, "the scale of what is generated must be positive");
}

Hypernetwork::Hypernetwork(const Graph& network, HypernetworkSpec spec, uint64_t seed)
    : Hypernetwork(network, std::move(spec), seed, nullptr) {}

Hypernetwork::Hypernetwork(const Graph& network, HypernetworkSpec spec, uint64_t seed,
                           const Scale* scale)
    : spec_(std::move(spec)), seed_(seed), network_(network), graph_(network) {
  spec_.check("hypernetwork");
  for (size_t i = 0; i < network.value_count(); ++i) {
    if (!network.alive(ValueId(i))) continue;
    const std::string& name = network.value(ValueId(i)).name;
    if (name == kCondition || name.starts_with("generator."))
      throw bad_input(network.name, "has a value '" + name + "' already",
                      "a network is put behind one generator");
  }
  find_targets();
  if (scale)
    scale_ = *scale;
  else
    set_scale();
  put_generator();
}

void Hypernetwork::find_targets() {
  const std::vector<std::string> all = parameter_names(network_);
  std::set<std::string> chosen(all.begin(), all.end());
  if (!spec_.targets.empty()) chosen = selected_parameters(network_, {{.names = spec_.targets}});
  if (chosen.empty()) throw bad_input(network_.name, "has no parameters to generate");
  for (const std::string& name : all) {
    if (!chosen.contains(name)) continue;
    const Tensor& own = *network_.value(network_.find(name)).constant;
    if (own.dtype() != DType::f32)
      throw unsupported("'" + name + "'", "is " + std::string(name_of(own.dtype())),
                        "generators give f32");
    targets_.push_back({name, own.shape(), ""});
    total_ += own.size();
  }
}

// What a generator gives has deviation 1 before it is scaled in units of each parameter's own.
// Parameters that are the same everywhere at first (scales, some biases) keep their place and get
// the least of the others' deviations.
void Hypernetwork::set_scale() {
  std::vector<Spread> spreads;
  double least = 0;
  for (const Target& t : targets_) {
    spreads.push_back(spread(*network_.value(network_.find(t.name)).constant));
    const double d = spreads.back().deviation;
    if (d > 0 && (least == 0 || d < least)) least = d;
  }
  if (least == 0) least = 0.02;
  const double first = first_deviation();
  if (!(first > 0) || !std::isfinite(first))
    throw bad_input("hypernetwork", "the generator gives nothing at first");
  std::vector<std::pair<int64_t, double>> scales, offsets;
  for (size_t i = 0; i < targets_.size(); ++i) {
    const bool varies = spreads[i].deviation > 0;
    const int64_t size = numel(targets_[i].shape);
    scales.emplace_back(size, spec_.scale / first * (varies ? spreads[i].deviation : least));
    offsets.emplace_back(size, varies || spec_.residual ? 0 : spreads[i].mean);
  }
  scale_ = {repeated(scales, total_), repeated(offsets, total_)};
}

void Hypernetwork::put_generator() {
  const ValueId condition =
      spec_.numbers > 0
          ? graph_.add_constant(kCondition, middle_condition(spec_.numbers), Role::kBuffer)
          : graph_.add_constant(kCondition, Tensor::from<int64_t>({1}, {0}));
  const auto first_new = NodeId(graph_.node_count());
  Builder b(graph_);
  const ValueId all = write(graph_, condition);
  std::vector<int64_t> sizes;
  for (const Target& t : targets_) sizes.push_back(numel(t.shape));
  const Values parts =
      sizes.size() == 1 ? Values{all} : b.op("Split", {all, b.ints(sizes)}, {{"axis", int64_t{1}}});
  for (size_t i = 0; i < targets_.size(); ++i) {
    Target& t = targets_[i];
    t.generated = graph_.fresh_name(t.name + ":generated");
    const ValueId own = graph_.find(t.name);
    const ValueId made = b.reshape(parts.at(i), t.shape);
    graph_.rename(made, t.generated);
    replace_reads(graph_, own, made, first_new);
  }
  graph_.sort();
  graph_.erase_dead();
}

double Hypernetwork::first_deviation() const {
  constexpr int64_t kProbed = 16;
  const int64_t rows = spec_.numbers > 0 ? kProbed : spec_.tasks;
  Graph g;
  ValueId conditions = kNoValue;
  if (spec_.numbers > 0) {
    Tensor z(DType::f32, {rows, spec_.numbers});
    const Rng rng(seed_, stream_of("hypernetwork: probed conditions"));
    // The first number in equal steps, the others at random.
    for (int64_t i = 0; i < z.size(); ++i)
      z.mutable_data<float>()[i] = i % spec_.numbers == 0
                                       ? (float(i / spec_.numbers) + 0.5F) / float(rows)
                                       : float(rng.uniform(uint64_t(i)));
    conditions = g.add_constant("conditions", z);
  } else {
    Tensor t(DType::i64, {rows});
    for (int64_t i = 0; i < rows; ++i) t.mutable_data<int64_t>()[i] = i;
    conditions = g.add_constant("conditions", t);
  }
  const ValueId written = write_raw(g, conditions);
  const Tensor raw = computed(g, {written}).at(0);
  double squares = 0;
  for (int64_t i = 0; i < raw.size(); ++i) squares += raw.at(i) * raw.at(i);
  return std::sqrt(squares / double(raw.size()));
}

ValueId Hypernetwork::write_raw(Graph& g, ValueId conditions) const {
  Builder b(g);
  ValueId x = conditions;
  if (spec_.tasks > 0) {
    Generating tables(g, spec_.generator, conditions, total_, seed_);
    x = b.one("Gather", {tables.parameter("tasks", {spec_.tasks, spec_.embedding}, 1), x});
  } else if (spec_.encoded) {
    const ValueId angle = b.mul(x, std::numbers::pi / 2);
    x = b.one("Concat", {b.one("Cos", {angle}), b.one("Sin", {angle})}, {{"axis", int64_t{1}}});
  }
  Generating generating(g, spec_.generator, x, total_, seed_);
  return find_generator(spec_.generator.kind).write(generating);
}

ValueId Hypernetwork::write(Graph& g, ValueId conditions) const {
  Builder b(g);
  ValueId all = b.mul(write_raw(g, conditions), b.constant(scale_.scale));
  if (any(scale_.offset)) all = b.add(all, b.constant(scale_.offset));
  if (!spec_.residual) return all;
  Values own;
  for (const Target& t : targets_) {
    const ValueId v = g.find(t.name);
    ESP_CHECK(v != kNoValue, "the graph holds no '" + t.name + "'");
    own.push_back(b.reshape(v, {1, -1}));
  }
  return b.add(all, own.size() == 1 ? own[0] : b.one("Concat", own, {{"axis", int64_t{1}}}));
}

int64_t Hypernetwork::learned_elements() const {
  int64_t n = 0;
  for (const std::string& name : parameter_names(graph_))
    n += graph_.value(graph_.find(name)).constant->size();
  return n;
}

Tensor Hypernetwork::weights(const Graph& trained, const Tensor& conditions) const {
  Graph g;
  for (const std::string& name : parameter_names(graph_)) take_value(g, trained, name);
  const ValueId at = g.add_constant("conditions", conditions);
  const ValueId written = write(g, at);
  return computed(g, {written}).at(0);
}

Graph Hypernetwork::fixed(const Graph& trained, const Tensor& condition) const {
  Graph g = with_values(trained, {{kCondition, condition}});
  std::vector<ValueId> made;
  for (const Target& t : targets_) made.push_back(g.find(t.generated));
  const std::vector<Tensor> values = computed(g, made);
  for (size_t i = 0; i < targets_.size(); ++i) {
    // The learned part of the sum, which has the name.
    if (const ValueId own = g.find(targets_[i].name); own != kNoValue)
      g.rename(own, g.fresh_name(targets_[i].name + ":base"));
    g.replace_uses(made[i], g.add_constant(targets_[i].name, values[i], Role::kParameter));
  }
  g.erase_dead();
  return g.compacted();
}

Graph Hypernetwork::with_condition_input(const Graph& trained) const {
  Graph g = trained;
  const ValueId constant = g.find(kCondition);
  const Type type = g.value(constant).type;
  g.rename(constant, g.fresh_name("condition:constant"));
  g.replace_uses(constant, g.add_input(kCondition, type));
  g.erase_dead();
  return g.compacted();
}

DriftPenalty::DriftPenalty(const Hypernetwork& network, const Graph& before, int64_t learned,
                           double weight)
    : network_(network), tasks_(DType::i64, {learned}), weight_(weight) {
  for (int64_t i = 0; i < learned; ++i) tasks_.mutable_data<int64_t>()[i] = i;
  if (learned > 0) kept_ = network.weights(before, tasks_);
}

void DriftPenalty::on_loss(StepGraph& step) {
  if (tasks_.size() == 0 || weight_ == 0) return;
  Builder b(step.graph);
  const ValueId now = network_.write(step.graph, b.constant(tasks_));
  const ValueId drift = b.sub(now, b.constant(kept_));
  const ValueId squares = b.reduce_sum(b.mul(drift, drift), {0, 1}, false);
  step.add_penalty(b.mul(squares, weight_ / double(tasks_.size())));
}

namespace {

/// `old` inside a tensor of the shape of `fresh`, for gates of `before` and `after` units. What is
/// computed of new units is drawn anew, what is computed of old ones reads nothing of them.
Tensor with_more_units(const std::string& name, const Tensor& old, const Tensor& fresh,
                       int64_t before, int64_t after) {
  Tensor t = fresh.clone();
  float* to = t.mutable_data<float>();
  const int64_t columns = t.shape().back(), rows = t.size() / columns;
  const int64_t old_columns = old.shape().back();
  if (name == "generator.head.weight") {  // [units, chunk]
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c)
        to[r * columns + c] = r < before ? float(old.at(r * columns + c)) : 0;
  } else if (name == "generator.lstm.bias") {  // [1, 8 units]
    for (int64_t c = 0; c < columns; ++c)
      if (c % after < before) to[c] = float(old.at(c / after * before + c % after));
  } else {  // [1, 4 units, inputs or units]
    for (int64_t r = 0; r < rows; ++r) {
      if (r % after >= before) continue;
      const int64_t from = (r / after * before + r % after) * old_columns;
      for (int64_t c = 0; c < columns; ++c)
        to[r * columns + c] = c < old_columns ? float(old.at(from + c)) : 0;
    }
  }
  return t;
}

}  // namespace

Hypernetwork Hypernetwork::grown(const Graph& trained, int64_t width) const {
  if (spec_.generator.kind != "recurrent")
    throw unsupported("generator '" + spec_.generator.kind + "'", "cannot grow",
                      "recurrent generators can");
  const auto before = int64_t(spec_.generator.all_settings().at("width"));
  if (width < before)
    throw bad_input("hypernetwork", "a generator of " + std::to_string(before) +
                                        " units cannot grow to " + std::to_string(width));
  HypernetworkSpec wider = spec_;
  wider.generator.settings["width"] = double(width);
  Hypernetwork h(network_, std::move(wider), seed_, &scale_);
  std::map<std::string, Tensor> values;
  for (ValueId v : h.graph_.constants()) {
    const std::string& name = h.graph_.value(v).name;
    if (h.graph_.value(v).role == Role::kNone) continue;
    const Tensor& old = *trained.value(trained.find(name)).constant;
    const Tensor& fresh = *h.graph_.value(v).constant;
    values[name] =
        old.shape() == fresh.shape() ? old : with_more_units(name, old, fresh, before, width);
  }
  h.graph_ = with_values(h.graph_, values);
  return h;
}

}  // namespace espalier

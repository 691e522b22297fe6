#include "train/adapter.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "base/error.h"
#include "base/rng.h"
#include "base/suggest.h"
#include "train/step.h"

namespace espalier {

#define ESP_ADAPTER(name) const AdapterUnit& name##_adapter();
#include "train/adapters.inc"
#undef ESP_ADAPTER

std::span<const AdapterUnit* const> adapters() {
  static const std::array all = {
#define ESP_ADAPTER(name) &name##_adapter(),
#include "train/adapters.inc"
#undef ESP_ADAPTER
  };
  return all;
}

std::vector<std::string> adapter_names() {
  std::vector<std::string> names;
  for (const AdapterUnit* unit : adapters()) names.emplace_back(unit->name);
  return names;
}

const AdapterUnit& find_adapter(const std::string& name) {
  for (const AdapterUnit* unit : adapters())
    if (name == unit->name) return *unit;
  throw usage_error("adapter '" + name + "'", "is not known", suggestion(name, adapter_names()));
}

std::map<std::string, double> AdapterSpec::all_settings() const {
  return espalier::all_settings(find_adapter(kind).settings, settings);
}

std::string AdapterSpec::text() const {
  std::ostringstream out;
  out << settings_text(kind, find_adapter(kind).settings, settings);
  if (!start.empty()) out << ",start=" << start;
  for (const std::string& t : targets) out << ",at=" << t;
  for (const std::string& t : also) out << ",also=" << t;
  return out.str();
}

void AdapterSpec::check(const std::string& where) const {
  const AdapterUnit& unit = find_adapter(kind);
  check_settings(where, "adapter '" + kind + "'", unit.settings, settings);
  const std::vector<std::string> known(unit.starts.begin(), unit.starts.end());
  if (!start.empty() && std::ranges::find(known, start) == known.end())
    throw bad_input(where, "adapter '" + kind + "' cannot start as '" + start + "'",
                    known.empty() ? "it has one start" : suggestion(start, known));
}

Adapting::Adapting(Graph& graph, const AdapterSpec& spec, const AdapterInput& input)
    : graph_(graph), spec_(spec), input_(input), settings_(spec.all_settings()) {
  Shape batch = {2};
  batch.insert(batch.end(), input.sample.begin(), input.sample.end());
  typed_ = typed_for(graph, batch);
}

std::vector<WeightTarget> Adapting::targets() const {
  std::vector<WeightTarget> all = weight_targets(typed_);
  if (all.empty())
    throw unsupported(typed_.name, "has no weights that '" + spec_.kind + "' can stand beside",
                      "products with a matrix and ungrouped convolutions have, read once each");
  if (!targeted()) {
    // What is trained itself needs nothing beside it.
    std::erase_if(all, [&](const WeightTarget& t) { return trained_.contains(t.parameter); });
    return all;
  }
  std::vector<std::string> names;
  for (const WeightTarget& t : all) names.push_back(t.parameter);
  for (const std::string& pattern : spec_.targets) {
    const auto fits = [&](const std::string& n) { return matches_pattern(pattern, n); };
    if (std::ranges::any_of(names, fits)) continue;
    std::string near;
    for (const std::string& n : nearest_names(pattern, names, 5))
      near += (near.empty() ? "" : ", ") + n;
    throw bad_input("'" + pattern + "'",
                    "names no weight that '" + spec_.kind + "' can stand beside",
                    "the nearest are " + near);
  }
  std::erase_if(all, [&](const WeightTarget& t) {
    return std::ranges::none_of(spec_.targets,
                                [&](const auto& p) { return matches_pattern(p, t.parameter); });
  });
  return all;
}

ValueId Adapting::parameter(const std::string& name, const Shape& shape, double deviation) {
  Tensor t(DType::f32, shape);
  const Rng rng(input_.seed, stream_of("adapter " + name));
  if (deviation > 0)
    for (int64_t i = 0; i < t.size(); ++i)
      t.mutable_data<float>()[i] = float(deviation * rng.normal(uint64_t(i)));
  return parameter(name, std::move(t));
}

ValueId Adapting::parameter(const std::string& name, Tensor first) {
  if (graph_.find(name) != kNoValue)
    throw bad_input(graph_.name, "has a value '" + name + "' already",
                    "an adapter cannot be put into a network twice");
  trained_.insert(name);
  return graph_.add_constant(name, std::move(first), Role::kParameter);
}

void Adapting::replace(ValueId from, ValueId to, NodeId first_new) {
  for (NodeId id : graph_.order())
    if (id < first_new)
      for (ValueId& v : graph_.mutable_node(id).inputs)
        if (v == from) v = to;
  std::vector<ValueId> outputs(graph_.outputs().begin(), graph_.outputs().end());
  std::ranges::replace(outputs, from, to);
  graph_.set_outputs(outputs);
  const std::string name = graph_.value(from).name;
  graph_.rename(from, graph_.fresh_name(name + ":base"));
  graph_.rename(to, name);
  graph_.sort();
}

void Adapting::merges(const WeightTarget& target, std::function<Tensor(const Graph&)> delta) {
  deltas_.emplace_back(target, std::move(delta));
}

AdaptedNetwork adapted(const Graph& network, const AdapterSpec& spec, const AdapterInput& input) {
  spec.check("adapter");
  AdaptedNetwork made;
  made.base = network;
  made.graph = network;
  const AdapterUnit& unit = find_adapter(spec.kind);
  if (!spec.also.empty()) made.trained = selected_parameters(network, {{.names = spec.also}});
  Adapting adapting(made.graph, spec, input);
  adapting.trained_ = made.trained;
  unit.attach(adapting);
  made.trained = std::move(adapting.trained_);
  made.deltas = std::move(adapting.deltas_);
  made.mergeable = unit.merges;
  // A weight that is trained itself would be changed twice.
  for (const auto& [target, delta] : made.deltas)
    if (made.trained.contains(target.parameter))
      throw bad_input("'" + target.parameter + "'", "is adapted and trained as well",
                      "name it under 'targets' or under 'also'");
  return made;
}

Graph AdaptedNetwork::merged(const Graph& trained_graph) const {
  if (!mergeable) return trained_graph;
  std::map<std::string, Tensor> values;
  for (ValueId v : base.constants()) {
    const ValueId now = trained_graph.find(base.value(v).name);
    if (now != kNoValue && trained_graph.is_constant(now))
      values[base.value(v).name] = *trained_graph.value(now).constant;
  }
  for (const auto& [target, delta] : deltas) {
    const Tensor& weight = values.at(target.parameter);
    const Tensor change = in_parameter_order(target, delta(trained_graph), weight.shape());
    Tensor sum(DType::f32, weight.shape());
    for (int64_t i = 0; i < sum.size(); ++i)
      sum.mutable_data<float>()[i] = float(weight.at(i) + change.at(i));
    values[target.parameter] = std::move(sum);
  }
  return with_values(base, values);
}

}  // namespace espalier

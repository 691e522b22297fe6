#include "train/selection.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/rng.h"
#include "base/suggest.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"

namespace espalier {
namespace {

constexpr size_t kNamed = 5;

bool constants_only(const Graph& g, NodeId id, const std::vector<bool>& known) {
  return std::ranges::all_of(g.node(id).inputs, [&](ValueId v) {
    return v == kNoValue || g.is_constant(v) || known[size_t(v)];
  });
}

int64_t axes_of(const Tensor& t) {
  return std::ranges::count_if(t.shape(), [](int64_t n) { return n != 1; });
}

/// Whether the gradient of operand `slot` follows from the gradient of the results alone.
bool gradient_reads_no_activation(const Graph& g, const Reading& r) {
  const Node node = g.node(r.node);
  if (!node.room->gradient.answered()) return false;
  Graph probe = g;
  std::vector<ValueId> dy(node.outputs.size(), kNoValue);
  if (node.outputs.empty() || !probe.value(node.outputs[0]).type.is_tensor()) return false;
  dy[0] = probe.add_input(probe.fresh_name("dy"), probe.value(node.outputs[0]).type);
  std::vector<bool> wanted(node.inputs.size(), false);
  wanted[r.slot] = true;
  const size_t own = probe.value_count();
  Builder b(probe);
  Values d;
  try {
    d = (*node.room->gradient)(node.attrs, b, Tape(probe, node, dy, wanted));
  } catch (const UserError&) {
    return false;  // its shapes are not known
  }
  if (r.slot >= d.size() || d[r.slot] == kNoValue) return false;
  std::vector<ValueId> pending = {d[r.slot]};
  std::set<ValueId> seen;
  while (!pending.empty()) {
    const ValueId v = pending.back();
    pending.pop_back();
    if (v == kNoValue || v == dy[0] || !seen.insert(v).second) continue;
    const Value& value = probe.value(v);
    if (value.constant || !value.type.is_tensor() || !is_float(value.tensor().dtype)) continue;
    if (size_t(v) < own) return false;
    const std::vector<ValueId>& operands = probe.node(value.producer).inputs;
    pending.insert(pending.end(), operands.begin(), operands.end());
  }
  return true;
}

Tensor drawn(const TensorType& type, uint64_t stream) {
  constexpr int64_t kSymbol = 2;
  Shape shape;
  for (const Dim& d : type.dims) shape.push_back(d.known() ? d.value() : kSymbol);
  Tensor t(DType::f32, shape);
  const Rng rng(0, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
  return t.cast(type.dtype);
}

/// Whether changing the operand changes the results by the same, whatever is added to: asked of the
/// reference, for rooms whose gradients are made together. Cheap operators only.
bool adds_whatever_else(const Graph& g, const Reading& r) {
  const Node& n = g.node(r.node);
  if (n.room->reference.refused() || r.slot == 0) return false;
  std::vector<Tensor> operands;
  for (ValueId v : n.inputs) {
    if (v == kNoValue || !g.value(v).type.is_tensor() || !is_float(g.value(v).tensor().dtype))
      return false;
    operands.push_back(g.is_constant(v) ? *g.value(v).constant : drawn(g.value(v).tensor(), 1));
  }
  Graph one;
  Values inputs;
  for (size_t i = 0; i < operands.size(); ++i)
    inputs.push_back(one.add_input("x" + std::to_string(i),
                                   TensorType(operands[i].dtype(), operands[i].shape())));
  Builder b(one);
  try {
    for (ValueId v : b.op(*n.room, n.attrs, inputs)) one.add_output(v);
    if (cost_of(one).macs > 0) return false;
    const auto change = [&](uint64_t stream) {
      std::vector<Tensor> given = operands;
      given[0] = drawn(g.value(n.inputs[0]).tensor(), stream);
      const std::vector<Tensor> before = interpret(one, given);
      given[r.slot] = drawn(TensorType(DType::f32, operands[r.slot].shape()), 7);
      const std::vector<Tensor> after = interpret(one, given);
      std::vector<double> by;
      for (size_t o = 0; o < after.size(); ++o)
        for (int64_t i = 0; i < after[o].size(); ++i)
          by.push_back(after[o].at(i) - before[o].at(i));
      return by;
    };
    const std::vector<double> a = change(2), c = change(3);
    double largest = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      if (std::abs(a[i] - c[i]) > 1e-4) return false;
      largest = std::max(largest, std::abs(a[i]));
    }
    return largest > 0;
  } catch (const UserError&) {
    return false;  // the shapes drawn do not suit it
  }
}

/// Whether the node normalises its first operand: asked of its reference in training form.
bool normalises(const Graph& g, const Reading& r) {
  const Node& n = g.node(r.node);
  if (n.room->reference.refused() || r.slot == 0 || n.room->control) return false;
  std::vector<Tensor> operands;
  for (ValueId v : n.inputs) {
    if (v == kNoValue || !g.value(v).type.is_tensor() || !is_float(g.value(v).tensor().dtype))
      return false;
    operands.push_back(g.is_constant(v) ? *g.value(v).constant : drawn(g.value(v).tensor(), 1));
  }
  const Attributes attrs = n.room->with_mode ? n.room->with_mode(n.attrs, true) : n.attrs;
  Graph one;
  Values inputs;
  for (size_t i = 0; i < operands.size(); ++i)
    inputs.push_back(one.add_input("x" + std::to_string(i),
                                   TensorType(operands[i].dtype(), operands[i].shape())));
  Builder b(one);
  try {
    one.add_output(b.op(*n.room, attrs, inputs).at(0));
    if (cost_of(one).macs > 0) return false;
    // Large enough that what keeps variances from zero does not matter.
    const auto answered = [&](uint64_t stream, float times) {
      std::vector<Tensor> given = operands;
      Tensor x = drawn(TensorType(DType::f32, operands[0].shape()), stream);
      for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] *= times;
      given[0] = x.cast(operands[0].dtype());
      given[r.slot] =
          drawn(TensorType(DType::f32, operands[r.slot].shape()), 7).cast(operands[r.slot].dtype());
      return interpret(one, given).at(0);
    };
    const Tensor y = answered(2, 100), twice = answered(2, 200), other = answered(3, 100);
    double changed = 0, differs = 0;
    for (int64_t i = 0; i < y.size(); ++i) {
      changed = std::max(changed, std::abs(y.at(i) - twice.at(i)));
      differs = std::max(differs, std::abs(y.at(i) - other.at(i)));
    }
    return differs > 1e-2 && changed < 1e-2 * differs;
  } catch (const UserError&) {
    return false;  // the shapes drawn do not suit it
  }
}

/// For each parameter, which layer reads it first; those before any layer are in layer 0.
std::map<std::string, int64_t> layers_of(const Graph& g, int64_t& count) {
  std::map<NodeId, size_t> place;
  for (size_t i = 0; i < g.order().size(); ++i) place[g.order()[i]] = i;
  std::vector<std::pair<size_t, ValueId>> first;
  for (ValueId v : g.constants()) {
    if (g.value(v).role != Role::kParameter) continue;
    size_t earliest = g.order().size();
    for (const Reading& r : readings_of(g, v)) earliest = std::min(earliest, place.at(r.node));
    first.emplace_back(earliest, v);
  }
  std::ranges::stable_sort(first, {}, &std::pair<size_t, ValueId>::first);
  std::map<std::string, int64_t> layers;
  count = 0;
  // Of the parameters of one node the matrix comes first, whatever its place.
  for (size_t i = 0; i < first.size();) {
    size_t end = i;
    bool matrix = false;
    for (; end < first.size() && first[end].first == first[i].first; ++end)
      matrix = matrix || axes_of(*g.value(first[end].second).constant) >= 2;
    count += matrix;
    for (; i < end; ++i) layers[g.value(first[i].second).name] = count;
  }
  return layers;
}

std::set<std::string> by_name(const std::vector<std::string>& all, const Filter& f) {
  std::set<std::string> chosen(all.begin(), all.end());
  const auto need_match = [&](const std::string& pattern) {
    if (std::ranges::any_of(all, [&](const auto& n) { return matches_pattern(pattern, n); }))
      return;
    std::string near;
    for (const std::string& n : nearest_names(pattern, all, kNamed))
      near += (near.empty() ? "" : ", ") + n;
    throw bad_input("'" + pattern + "'", "is the name of no parameter", "the nearest are " + near);
  };
  std::ranges::for_each(f.names, need_match);
  std::ranges::for_each(f.except, need_match);
  const auto any = [](const std::vector<std::string>& patterns, const std::string& name) {
    return std::ranges::any_of(patterns, [&](const auto& p) { return matches_pattern(p, name); });
  };
  std::erase_if(chosen, [&](const std::string& n) {
    return (!f.names.empty() && !any(f.names, n)) || any(f.except, n);
  });
  return chosen;
}

}  // namespace

std::vector<std::string> parameter_names(const Graph& network) {
  std::vector<std::string> names;
  for (ValueId v : network.constants())
    if (network.value(v).role == Role::kParameter) names.push_back(network.value(v).name);
  return names;
}

std::vector<Reading> readings_of(const Graph& g, ValueId parameter) {
  std::vector<bool> follows(g.value_count(), false);
  follows[size_t(parameter)] = true;
  std::vector<Reading> found;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    for (size_t slot = 0; slot < n.inputs.size(); ++slot) {
      const ValueId v = n.inputs[slot];
      if (v == kNoValue || !follows[size_t(v)]) continue;
      if (!constants_only(g, id, follows)) {
        found.push_back({id, slot, v});
        continue;
      }
      for (ValueId o : n.outputs)
        if (o != kNoValue) follows[size_t(o)] = true;
    }
  }
  return found;
}

bool is_bias(const Graph& g, ValueId parameter) {
  const Value& v = g.value(parameter);
  if (!v.constant || axes_of(*v.constant) > 1) return false;
  const std::vector<Reading> all = readings_of(g, parameter);
  return !all.empty() && std::ranges::all_of(all, [&](const Reading& r) {
    return gradient_reads_no_activation(g, r) || adds_whatever_else(g, r);
  });
}

bool is_of_normalization(const Graph& g, ValueId parameter) {
  const Value& v = g.value(parameter);
  if (!v.constant || !is_float(v.constant->dtype())) return false;
  const std::vector<Reading> all = readings_of(g, parameter);
  return !all.empty() &&
         std::ranges::all_of(all, [&](const Reading& r) { return normalises(g, r); });
}

std::set<std::string> selected_parameters(const Graph& network, const Selection& selection) {
  const std::vector<std::string> all = parameter_names(network);
  if (all.empty())
    throw bad_input(network.name, "has no parameters to train",
                    "weights must be constants of a float type");
  if (selection.empty()) return {all.begin(), all.end()};
  std::set<std::string> chosen;
  for (const Filter& f : selection) {
    std::set<std::string> own = by_name(all, f);
    int64_t layers = 0;
    const std::map<std::string, int64_t> layer = layers_of(network, layers);
    if (f.last_layers > layers)
      throw bad_input("the last " + std::to_string(f.last_layers) + " layers",
                      network.name + " has " + std::to_string(layers));
    std::erase_if(own, [&](const std::string& n) {
      return (f.last_layers > 0 && layer.at(n) <= layers - f.last_layers) ||
             (f.biases && !is_bias(network, network.find(n))) ||
             (f.norms && !is_of_normalization(network, network.find(n)));
    });
    if (own.empty())
      throw bad_input(network.name, "no parameter meets all of these conditions",
                      "conditions of one entry hold together; entries of a list add up");
    chosen.merge(own);
  }
  return chosen;
}

}  // namespace espalier

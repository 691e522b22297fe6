#include "compress/quantize_plan.h"

#include <algorithm>

#include "ir/builder.h"
#include "ir/room.h"

namespace espalier {
namespace {

bool is_f32(const Graph& g, ValueId v) {
  return v != kNoValue && g.value(v).type.is_tensor() && g.value(v).tensor().dtype == DType::f32;
}

class Planner {
 public:
  Planner(const Graph& g, const std::set<std::string>& exclude)
      : g_(g), readers_(g.users()), outside_(g.value_count(), false) {
    for (ValueId v : g.outputs()) outside_[size_t(v)] = true;
    for (NodeId id : g.order())
      if (!exclude.contains(layer_name(g, id)))
        if (auto form = quant_form(g, id)) forms_.emplace(id, std::move(*form));
  }

  QuantizationPlan run() && {
    find_layers();
    find_integer_values();
    pass_through();
    for (size_t v = 0; v < stored_.size(); ++v)
      if (stored_[v]) plan_.activations.push_back(ValueId(v));
    for (ValueId v : plan_.activations) plan_.scale_owner[v] = owner(v);
    return std::move(plan_);
  }

 private:
  bool weighed(NodeId id) const {
    const auto it = forms_.find(id);
    if (it == forms_.end() || it->second.weight < 0 || it->second.activations.size() != 1)
      return false;
    const ValueId w = g_.node(id).inputs[size_t(it->second.weight)];
    return g_.is_constant(w) && is_f32(g_, w);
  }

  /// The one node that reads v, if nothing else does.
  NodeId only_reader(ValueId v) const {
    const auto& readers = readers_[size_t(v)];
    return readers.size() == 1 && !outside_[size_t(v)] ? readers[0] : kNoNode;
  }

  /// Layers with their lines; of two layers that meet in a sum the later takes it.
  void find_layers() {
    stored_.resize(g_.value_count(), false);
    in_line_.resize(g_.node_count(), false);
    line_end_.resize(g_.value_count(), false);
    for (size_t i = g_.order().size(); i-- > 0;) {
      const NodeId id = g_.order()[i];
      if (!weighed(id)) continue;
      plan_.layers.push_back(id);
      const Node& n = g_.node(id);
      stored_[size_t(n.inputs[size_t(forms_.at(id).activations[0])])] = true;
      line_end_[size_t(follow(n.outputs[0]))] = true;
    }
    std::ranges::reverse(plan_.layers);
  }

  /// The value at the end of the line that starts with a layer's result: after one sum with a value
  /// of the same shape and one activation, as far as nobody else reads what lies between.
  ValueId follow(ValueId v) {
    bool summed = false;
    while (true) {
      const NodeId next = only_reader(v);
      if (next == kNoNode || in_line_[size_t(next)]) return v;
      const Node& n = g_.node(next);
      if (!n.room->pointwise.answered() || n.outputs.size() != 1) return v;
      const auto op = (*n.room->pointwise)(n.attrs, types_in(g_, next));
      if (!op) return v;
      if (operands_of(op->code) == 1) {
        in_line_[size_t(next)] = true;
        return n.outputs[0];
      }
      if (op->code != ScalarCode::kAdd || summed) return v;
      const ValueId other = n.inputs[0] == v ? n.inputs[1] : n.inputs[0];
      if (other == v || g_.is_constant(other) || !is_f32(g_, other) ||
          g_.value(other).tensor().dims != g_.value(v).tensor().dims)
        return v;
      summed = in_line_[size_t(next)] = true;
      stored_[size_t(other)] = true;
      v = n.outputs[0];
    }
  }

  /// Values that can be had as integers without leaving them: given, at the end of a line, or moved
  /// from such.
  void find_integer_values() {
    integer_.resize(g_.value_count(), false);
    for (ValueId v : g_.inputs()) integer_[size_t(v)] = is_f32(g_, v);
    for (NodeId id : g_.order()) {
      for (ValueId v : g_.node(id).outputs)
        if (v != kNoValue && line_end_[size_t(v)]) integer_[size_t(v)] = true;
      if (passes(id)) integer_[size_t(g_.node(id).outputs[0])] = true;
    }
  }

  /// An operator without weights that can stay in integers.
  bool passes(NodeId id) const {
    const auto it = forms_.find(id);
    if (it == forms_.end() || it->second.weight >= 0 || in_line_[size_t(id)] ||
        g_.node(id).room->pointwise.answered())
      return false;
    return std::ranges::all_of(it->second.activations, [&](int slot) {
      return integer_[size_t(g_.node(id).inputs[size_t(slot)])];
    });
  }

  /// Where the result of such an operator is wanted as integers, its operands are too.
  void pass_through() {
    for (size_t i = g_.order().size(); i-- > 0;) {
      const NodeId id = g_.order()[i];
      if (!passes(id) || !stored_[size_t(g_.node(id).outputs[0])]) continue;
      const QuantForm& form = forms_.at(id);
      for (int slot : form.activations) stored_[size_t(g_.node(id).inputs[size_t(slot)])] = true;
      if (form.result == QuantForm::Result::kSameAsInput)
        moved_from_[g_.node(id).outputs[0]] = g_.node(id).inputs[size_t(form.activations[0])];
    }
  }

  ValueId owner(ValueId v) const {
    for (auto it = moved_from_.find(v); it != moved_from_.end(); it = moved_from_.find(v))
      v = it->second;
    return v;
  }

  const Graph& g_;
  std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> outside_;
  std::map<NodeId, QuantForm> forms_;
  std::vector<bool> stored_, line_end_, integer_;  // by value
  std::vector<bool> in_line_;                      // by node
  std::map<ValueId, ValueId> moved_from_;
  QuantizationPlan plan_;
};

}  // namespace

std::string layer_name(const Graph& g, NodeId id) {
  for (ValueId v : g.node(id).outputs)
    if (v != kNoValue) return g.value(v).name;
  return g.node(id).name;
}

std::optional<QuantForm> quant_form(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->quantize.answered() || n.outputs.size() != 1 || !is_f32(g, n.outputs[0]))
    return std::nullopt;
  QuantForm form = (*n.room->quantize)(n.attrs, types_in(g, id));
  if (form.activations.empty()) return std::nullopt;
  for (int slot : form.activations) {
    if (size_t(slot) >= n.inputs.size()) return std::nullopt;
    const ValueId v = n.inputs[size_t(slot)];
    if (!is_f32(g, v) || g.is_constant(v)) return std::nullopt;
  }
  return form;
}

QuantizationPlan plan_quantization(const Graph& graph, const std::set<std::string>& exclude) {
  return Planner(graph, exclude).run();
}

}  // namespace espalier

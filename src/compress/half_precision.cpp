#include "compress/half_precision.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/integer_coding.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "passes/fuse_region.h"

namespace espalier {
namespace {

void refuse_integers(const Graph& g) {
  if (const NodeId id = integer_coding(g); id != kNoNode)
    throw unsupported(
        g.name, "is quantised to integers already: " + describe(g, id) + " reads or writes them",
        "lower the float network it was made from");
}

/// Whether the node gives elements of its operand and computes nothing: it may as well do so in
/// fewer bytes.
bool moves(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  return passes::tensors_only(g, id) && n.room->quantize.answered() &&
         (*n.room->quantize)(n.attrs, types_in(g, id)).result == QuantForm::Result::kSameAsInput;
}

/// What stays as it is beside bf16: contractions on integers and those in `keep` with the biases
/// and functions that their kernels take along, what codes integers, what reads decoded numbers and
/// is no product of activations, and what only these read and does not merely move elements.
std::set<NodeId> staying(const Graph& g, const std::set<std::string>& keep) {
  const auto decoded = [&](ValueId v) { return is_coded(g, v); };
  std::set<NodeId> stays, free, epilogues;
  const auto given_or_from_epilogue = [&](ValueId v) {
    return g.is_constant(v) || (v != kNoValue && epilogues.contains(g.value(v).producer));
  };
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    const auto form = passes::tensors_only(g, id) ? contraction_form(g, id) : std::nullopt;
    const bool named =
        !n.outputs.empty() && n.outputs[0] != kNoValue && keep.contains(g.value(n.outputs[0]).name);
    if (form)
      (named || (form->weight >= 0 && decoded(n.inputs[size_t(form->weight)])) ? stays : free)
          .insert(id);
    else if (codes_integers(g, id) || std::ranges::any_of(n.inputs, decoded) ||
             (n.room->pointwise.answered() &&
              std::ranges::all_of(n.inputs, given_or_from_epilogue)))
      stays.insert(id);
    else
      continue;
    if (stays.contains(id) && (form || n.room->pointwise.answered())) epilogues.insert(id);
  }
  std::map<ValueId, bool> only_staying;  // of the values read so far, from the end
  for (ValueId v : g.outputs()) only_staying[v] = false;
  for (auto it = g.order().rbegin(); it != g.order().rend(); ++it) {
    const Node& n = g.node(*it);
    const auto kept = [&](ValueId v) {
      const auto read = only_staying.find(v);
      return v == kNoValue || (read != only_staying.end() && read->second);
    };
    if (!free.contains(*it) && !moves(g, *it) && std::ranges::all_of(n.outputs, kept))
      stays.insert(*it);
    for (ValueId v : n.inputs) {
      if (v == kNoValue) continue;
      const bool stay = stays.contains(*it);
      const auto [read, first] = only_staying.emplace(v, stay);
      if (!first) read->second = read->second && stay;
    }
  }
  return stays;
}

bool is_f32(const Type& t) { return t.is_tensor() && t.tensor().dtype == DType::f32; }

class Narrower {
 public:
  explicit Narrower(const Graph& from, std::set<NodeId> stays = {})
      : from_(from), stays_(std::move(stays)), b_(to_) {
    to_.name = from.name;
    to_.metadata = from.metadata;
  }

  Graph run() && {
    ESP_CHECK(from_.states().empty(), "a training graph is not narrowed");
    for (ValueId v : from_.inputs())
      same_[v] = to_.add_input(from_.value(v).name, from_.value(v).type);
    for (NodeId id : from_.order()) narrow(id);
    for (ValueId v : from_.outputs()) {
      const ValueId out = as_given(v);
      if (to_.find(from_.value(v).name) == kNoValue) to_.rename(out, from_.value(v).name);
      to_.add_output(out);
    }
    to_.erase_dead();
    verify(to_, "to_bf16");
    return to_.compacted();
  }

 private:
  void narrow(NodeId id) {
    const Node& n = from_.node(id);
    if (!stays_.contains(id)) {
      if (append(n, [&](ValueId v) { return narrowed(v); })) return;
      // Constants that describe (scales, a range) keep their type; then everything does.
      if (append(n, [&](ValueId v) { return from_.is_constant(v) ? as_given(v) : narrowed(v); }))
        return;
    }
    const bool done = append(n, [&](ValueId v) { return as_given(v); });
    ESP_CHECK(done, describe(from_, id) + " does not fit its own operands");
  }

  /// The node over operands chosen by `operand`; false where its room refuses their types.
  template <class F>
  bool append(const Node& n, F operand) {
    Values inputs;
    for (ValueId v : n.inputs) inputs.push_back(v == kNoValue ? kNoValue : operand(v));
    try {
      infer_types(to_, *n.room, n.attrs, inputs, n.name);
    } catch (const UserError&) {
      return false;
    }
    std::vector<std::string> names;
    for (ValueId v : n.outputs)
      names.push_back(v == kNoValue ? "" : to_.fresh_name(from_.value(v).name));
    const Values results = b_.op(*n.room, n.attrs, inputs, n.name, names);
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.outputs[i] == kNoValue) continue;
      const bool narrow = is_f32(from_.value(n.outputs[i]).type) &&
                          to_.value(results[i]).tensor().dtype == DType::bf16;
      (narrow ? narrow_ : same_)[n.outputs[i]] = results[i];
    }
    return true;
  }

  /// The value in its own type.
  ValueId as_given(ValueId v) {
    if (const auto it = same_.find(v); it != same_.end()) return it->second;
    if (const Value& value = from_.value(v); value.constant)
      return same_[v] = to_.add_constant(to_.fresh_name(value.name), *value.constant, value.role);
    return same_[v] = b_.cast(narrow_.at(v), from_.value(v).tensor().dtype);
  }

  /// The value as bf16 if it is f32, else in its own type.
  ValueId narrowed(ValueId v) {
    const Value& value = from_.value(v);
    if (!is_f32(value.type)) return as_given(v);
    if (const auto it = narrow_.find(v); it != narrow_.end()) return it->second;
    if (value.constant)
      return narrow_[v] = to_.add_constant(to_.fresh_name(value.name),
                                           value.constant->cast(DType::bf16), value.role);
    return narrow_[v] = b_.cast(same_.at(v), DType::bf16);
  }

  const Graph& from_;
  const std::set<NodeId> stays_;
  Graph to_;
  Builder b_;
  std::map<ValueId, ValueId> same_, narrow_;
};

}  // namespace

Graph to_bf16(const Graph& graph) {
  refuse_integers(graph);
  return Narrower(graph).run();
}

Graph to_bf16_beside(const Graph& graph, const std::set<std::string>& keep) {
  return Narrower(graph, staying(graph, keep)).run();
}

Graph with_bf16_weights(const Graph& graph) {
  refuse_integers(graph);
  Graph g = graph.compacted();
  Builder b(g);
  for (ValueId v : g.constants()) {
    if (g.value(v).role != Role::kParameter || g.value(v).constant->dtype() != DType::f32) continue;
    const std::string name = g.value(v).name;
    const Tensor value = *g.value(v).constant;
    g.rename(v, g.fresh_name(name + "_old"));
    const ValueId narrow = g.add_constant(name, value.cast(DType::bf16), Role::kParameter);
    const ValueId wide = b.cast(narrow, DType::f32);
    g.replace_uses(v, wide);
    g.erase_value(v);
    g.rename(wide, g.fresh_name(name + "_f32"));
  }
  g.sort();
  verify(g, "with_bf16_weights");
  return g.compacted();
}

}  // namespace espalier

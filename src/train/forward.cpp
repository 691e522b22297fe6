#include "train/forward.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "ir/derive.h"
#include "ir/integer_coding.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "passes/passes.h"
#include "train/graph_part.h"

namespace espalier {
namespace {

/// Copies a network node by node into a new graph.
class TrainingCopy {
 public:
  TrainingCopy(const Graph& from, uint64_t seed,
               const std::optional<std::set<std::string>>& trained,
               const std::map<std::string, NormMode>& modes)
      : from_(from),
        trained_(trained),
        modes_(modes),
        streams_(seed, stream_of("training form")),
        builder_(forward_.graph),
        map_(from.value_count(), kNoValue) {
    forward_.graph.name = from.name;
  }

  Forward run(const TensorType& input, const std::string& output,
              const std::vector<std::string>& kept) {
    add_input(input);
    find_moving_buffers();
    for (ValueId v : from_.constants()) add_constant(v);
    for (NodeId id : from_.order()) add_node(id);
    forward_.graph.add_output(map_[size_t(output_of(output))]);
    for (const std::string& name : kept) forward_.graph.add_output(map_[size_t(output_of(name))]);
    return std::move(forward_);
  }

 private:
  void add_input(const TensorType& given) {
    if (from_.inputs().size() != 1 || !from_.states().empty())
      throw unsupported(from_.name, "has " + std::to_string(from_.inputs().size()) +
                                        " inputs and " + std::to_string(from_.states().size()) +
                                        " states, training takes one input and no state");
    const Value& v = from_.value(from_.inputs()[0]);
    const bool fits =
        v.type.is_tensor() && v.tensor().dtype == given.dtype &&
        v.tensor().rank() == given.rank() &&
        std::equal(given.dims.begin() + 1, given.dims.end(), v.tensor().dims.begin() + 1,
                   [](const Dim& n, const Dim& d) { return !d.known() || d == n; });
    if (!fits)
      throw bad_input(
          "input '" + v.name + "'",
          "the data gives " + to_string(given) + ", the network takes " + to_string(v.type),
          "choose data, or a definition's variables, that fit each other");
    map_[size_t(from_.inputs()[0])] = forward_.graph.add_input(v.name, given);
  }

  void add_constant(ValueId id) {
    const Value& v = from_.value(id);
    Graph& g = forward_.graph;
    if (v.role == Role::kNone || is_frozen(id) || !is_float(v.tensor().dtype)) {
      map_[size_t(id)] = g.add_constant(v.name, *v.constant);
      return;
    }
    map_[size_t(id)] = g.add_input(v.name, v.type);
    g.mutable_value(map_[size_t(id)]).role = v.role;
    if (v.role == Role::kParameter) forward_.parameters.push_back(v.name);
  }

  bool is_frozen(ValueId id) const {
    const Value& v = from_.value(id);
    if (v.role == Role::kBuffer) return (trained_ || !modes_.empty()) && !moving_.contains(id);
    return trained_ && !trained_->contains(v.name);
  }

  /// Statistics follow the batches where all parameters beside them are trained, in train mode.
  bool follows_batches(const Node& n) const {
    const ValueId result = n.outputs.at(0);
    const auto mode = result == kNoValue ? modes_.end() : modes_.find(from_.value(result).name);
    if (mode != modes_.end() && mode->second != NormMode::kTrain) return false;
    if (!trained_) return true;
    bool statistics = false, all = true, any = false;
    for (ValueId v : n.inputs) {
      if (v == kNoValue || !from_.is_constant(v)) continue;
      statistics = statistics || from_.value(v).role == Role::kBuffer;
      if (from_.value(v).role != Role::kParameter) continue;
      any = true;
      all = all && trained_->contains(from_.value(v).name);
    }
    return !statistics || (any && all);
  }

  void find_moving_buffers() {
    for (NodeId id : from_.order())
      if (const Node& n = from_.node(id); n.room->with_mode && follows_batches(n))
        moving_.insert(n.inputs.begin(), n.inputs.end());
  }

  void add_node(NodeId id) {
    const Node& n = from_.node(id);
    Values operands;
    for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? kNoValue : map_[size_t(v)]);
    std::vector<std::string> names;
    for (ValueId v : n.outputs) names.push_back(v == kNoValue ? "" : from_.value(v).name);
    if (n.room->random_key >= 0) attach_key(size_t(n.room->random_key), operands);
    const bool trains = n.room->with_mode && follows_batches(n);
    const Attributes attrs = trains ? n.room->with_mode(n.attrs, true) : n.attrs;
    if (trains) name_gained(names);
    const Values results = builder_.op(*n.room, attrs, operands, n.name, names);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) map_[size_t(n.outputs[i])] = results.at(i);
    if (trains) pair_buffers(n, results);
  }

  /// A key of the node's own: [step, stream].
  void attach_key(size_t slot, Values& operands) {
    Graph& g = forward_.graph;
    const auto list = [](int64_t a, int64_t b) { return Tensor::from<int64_t>({2}, {a, b}); };
    // Invented names could be names of later values of the network.
    if (forward_.step.empty()) {
      forward_.step = from_.fresh_name("step");
      const ValueId step = g.add_input(forward_.step, TensorType(DType::i64, Dims{}));
      const ValueId first = g.add_constant(forward_.step + ":first", list(1, 0));
      step_key_ = builder_.op("Mul", {step, first}, {}, "", {forward_.step + ":key"}).at(0);
    }
    const std::string name = forward_.step + ":key" + std::to_string(drawing_nodes_);
    const auto stream = int64_t(streams_.bits(drawing_nodes_++));
    const ValueId second = g.add_constant(name + ":stream", list(0, stream));
    operands.resize(std::max(operands.size(), slot + 1), kNoValue);
    operands[slot] = builder_.op("Add", {step_key_, second}, {}, "", {name}).at(0);
  }

  /// Names for results the training form may add: invented ones could be names of later values.
  static void name_gained(std::vector<std::string>& names) {
    constexpr int kMost = 8;
    const std::string base = names.empty() ? "" : names[0];
    for (int i = 1; !base.empty() && i <= kMost; ++i)
      names.push_back(base + ":training" + std::to_string(i));
  }

  void pair_buffers(const Node& n, const Values& results) {
    size_t gained = n.outputs.size();
    for (ValueId v : n.inputs) {
      if (v == kNoValue || from_.value(v).role != Role::kBuffer) continue;
      const std::string& buffer = from_.value(v).name;
      if (gained == results.size())
        forward_.by_gradient.push_back(buffer);
      else
        forward_.next[buffer] = forward_.graph.value(results[gained++]).name;
    }
  }

  ValueId output_of(const std::string& name) const {
    if (name.empty()) {
      if (from_.outputs().size() == 1) return from_.outputs()[0];
      std::string all;
      for (ValueId v : from_.outputs()) all += (all.empty() ? "" : ", ") + from_.value(v).name;
      throw bad_input(from_.name, "has " + std::to_string(from_.outputs().size()) + " outputs",
                      "name the one the loss reads as 'output': " + all);
    }
    const ValueId v = from_.find(name);
    if (v == kNoValue) throw bad_input(from_.name, "has no value '" + name + "'");
    return v;
  }

  const Graph& from_;
  const std::optional<std::set<std::string>>& trained_;
  const std::map<std::string, NormMode>& modes_;
  std::set<ValueId> moving_;  ///< buffers whose next values are computed, among other operands
  Rng streams_;
  uint64_t drawing_nodes_ = 0;
  ValueId step_key_ = kNoValue;
  Forward forward_;
  Builder builder_;
  std::vector<ValueId> map_;
};

}  // namespace

Forward training_forward(const Graph& network, const TensorType& input, const std::string& output,
                         uint64_t seed, const std::optional<std::set<std::string>>& trained,
                         const NormRules& norms, const std::vector<std::string>& kept) {
  const auto modes = norm_modes(network, norms, deploys(norms));
  Forward f = TrainingCopy(network, seed, trained, modes).run(input, output, kept);
  // Next values must survive the removal of what the output does not need.
  Graph& g = f.graph;
  for (const auto& [buffer, next] : f.next) g.add_state(g.find(buffer), g.find(next));
  std::vector<Shape> shapes;
  for (ValueId v : g.inputs()) shapes.push_back(g.value(v).tensor().shape());
  f.graph = specialised(g, shapes);
  tune_norms(g, modes);
  std::vector<std::string> order = {"fold_rows"};
  if (!modes.empty()) order = {"fold_constants", "fold_rows", "remove_dead"};
  if (trained) order = {"fold_constants", "fold_batch_norm", "fold_rows", "remove_dead"};
  run_passes(f.graph, {}, order);
  if (const std::string why = dynamics_of(f.graph); !why.empty())
    throw depends_on_data(network.name, why);
  return f;
}

namespace {

class NarrowCopy {
 public:
  NarrowCopy(const Graph& from, DType precision)
      : from_(from), precision_(precision), builder_(to_), map_(from.value_count(), kNoValue) {
    to_.name = from.name;
    std::vector<ValueId> trained;
    for (ValueId v : from.inputs())
      if (from.value(v).role == Role::kParameter) trained.push_back(v);
    behind_trained_ = nodes_behind(from, trained);
  }

  Graph run(const std::vector<std::string>& keep) {
    for (ValueId v : from_.inputs()) {
      map_[size_t(v)] = to_.add_input(from_.value(v).name, from_.value(v).type);
      to_.mutable_value(map_[size_t(v)]).role = from_.value(v).role;
    }
    for (ValueId v : from_.constants())
      map_[size_t(v)] = to_.add_constant(from_.value(v).name, *from_.value(v).constant);
    for (NodeId id : from_.order()) add_node(id);
    for (const std::string& name : keep) restore(from_.find(name));
    for (ValueId v : from_.outputs()) to_.add_output(restore(v));
    for (const StatePair& s : from_.states())
      to_.add_state(map_[size_t(s.input)], restore(s.output));
    return std::move(to_);
  }

 private:
  static bool floats(const Type& t) { return t.is_tensor() && is_float(t.tensor().dtype); }

  ValueId cast(ValueId v, DType to) {
    if (v == kNoValue || !floats(to_.value(v).type) || to_.value(v).tensor().dtype == to) return v;
    auto [it, fresh] = casts_.try_emplace({v, to}, kNoValue);
    if (!fresh) return it->second;
    // An invented name could be that of a later value.
    const std::string name = to_.value(v).name + ":" + std::string(name_of(to));
    if (const auto& constant = to_.value(v).constant)
      return it->second = to_.add_constant(to_.fresh_name(name), constant->cast(to));
    it->second = builder_
                     .op("Cast", {v}, {{"to", detail::onnx_number(to)}}, "",
                         {to_.find(name) == kNoValue ? name : ""})
                     .at(0);
    return it->second;
  }

  Values all_cast(Values operands, DType to) {
    for (ValueId& v : operands) v = cast(v, to);
    return operands;
  }

  bool accepts(const Node& n, const Values& operands) const {
    try {
      infer_types(to_, *n.room, n.attrs, operands, n.name);
      return true;
    } catch (const UserError&) {
      return false;
    }
  }

  /// Whether the node computes with integers, which nothing trained changes.
  bool on_integers(NodeId id) const {
    const auto decoded = [&](ValueId v) { return is_coded(from_, v); };
    return !behind_trained_[size_t(id)] &&
           (codes_integers(from_, id) || std::ranges::any_of(from_.node(id).inputs, decoded));
  }

  /// Operands in the types the node shall read.
  Values typed(NodeId id, const Values& operands) {
    const Node& n = from_.node(id);
    if (on_integers(id)) return all_cast(operands, DType::f32);
    if (cost_of(from_, id).macs > 0) return all_cast(operands, precision_);
    const bool meets_narrow = std::any_of(operands.begin(), operands.end(), [&](ValueId v) {
      return v != kNoValue && floats(to_.value(v).type) &&
             to_.value(v).tensor().dtype == precision_;
    });
    if (!meets_narrow || accepts(n, operands)) return operands;
    const Values narrow = all_cast(operands, precision_);
    return accepts(n, narrow) ? narrow : all_cast(operands, DType::f32);
  }

  void add_node(NodeId id) {
    const Node& n = from_.node(id);
    Values operands;
    for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? kNoValue : map_[size_t(v)]);
    std::vector<std::string> names;
    for (ValueId v : n.outputs) names.push_back(v == kNoValue ? "" : from_.value(v).name);
    const Values results = builder_.op(*n.room, n.attrs, typed(id, operands), n.name, names);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) map_[size_t(n.outputs[i])] = results.at(i);
  }

  /// The value in the type it had, under the name it had.
  ValueId restore(ValueId original) {
    const Value& v = from_.value(original);
    const ValueId narrow = map_[size_t(original)];
    if (!floats(v.type)) return narrow;
    const ValueId wide = cast(narrow, v.tensor().dtype);
    if (wide == narrow) return narrow;
    to_.rename(narrow, to_.fresh_name(v.name + ".narrow"));
    to_.rename(wide, v.name);
    map_[size_t(original)] = wide;
    return wide;
  }

  const Graph& from_;
  DType precision_;
  Graph to_;
  Builder builder_;
  std::vector<bool> behind_trained_;  ///< by NodeId
  std::vector<ValueId> map_;
  std::map<std::pair<ValueId, DType>, ValueId> casts_;
};

}  // namespace

Graph narrowed(const Graph& graph, DType precision, const std::vector<std::string>& keep) {
  return NarrowCopy(graph, precision).run(keep);
}

}  // namespace espalier

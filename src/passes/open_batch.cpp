#include "passes/open_batch.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"

namespace espalier {
namespace {

/// The number all inputs begin with; nothing where all are open.
std::optional<int64_t> fixed_batch(const Graph& g) {
  std::optional<int64_t> fixed;
  bool open = false;
  for (ValueId v : g.inputs()) {
    const Value& input = g.value(v);
    if (!input.type.is_tensor() || input.tensor().rank() == 0)
      throw unsupported("input '" + input.name + "'",
                        "is " + to_string(input.type) + " and has no batch");
    const Dim& first = input.tensor().dims[0];
    if (!first.known()) {
      open = true;
    } else if (fixed.value_or(first.value()) != first.value()) {
      throw unsupported(
          "input '" + input.name + "'",
          "is " + to_string(input.type) + ", others have a batch of " + std::to_string(*fixed));
    } else {
      fixed = first.value();
    }
  }
  if (fixed && open)
    throw unsupported(g.name, "has inputs with a fixed first extent beside open ones",
                      "export it with all of them open");
  return fixed;
}

/// A name no input's extent goes by.
std::string free_symbol(const Graph& g) {
  std::string name = "N";
  const auto taken = [&](ValueId v) {
    return std::ranges::any_of(g.value(v).tensor().dims,
                               [&](const Dim& d) { return d.name() == name; });
  };
  while (std::ranges::any_of(g.inputs(), taken)) name += "_batch";
  return name;
}

class Opener {
 public:
  Opener(const Graph& graph, int64_t batch)
      : g_(graph.compacted()), batch_(batch), open_(Dim::symbol(free_symbol(graph))) {
    reinfer(g_, /*fold=*/true);
    g_.erase_dead();
    g_ = g_.compacted();
    if (const std::string why = dynamics_of(g_); !why.empty()) throw depends_on_data(g_.name, why);
  }

  Graph run() && {
    for (ValueId v : g_.inputs()) {
      TensorType type = g_.value(v).tensor();
      type.dims[0] = open_;
      g_.mutable_value(v).type = type;
    }
    const std::vector<NodeId> order = g_.order();
    for (NodeId id : order) open(id);
    for (ValueId v : g_.outputs())
      if (axis_of(g_.value(v).type) != 0)
        throw tied("output '" + g_.value(v).name + "'",
                   "is " + to_string(g_.value(v).type) + " whatever the batch");
    g_.erase_dead();
    try_another_batch();
    return g_.compacted();
  }

 private:
  UserError tied(const std::string& where, const std::string& what) const {
    return unsupported(
        g_.name + ": " + where,
        what + "; the network works on batches of " + std::to_string(batch_) + " only",
        "export it with an open first dimension (dynamic axes)");
  }

  /// Which axis is the batch; nothing where none is.
  std::optional<int64_t> axis_of(const Type& type) const {
    if (!type.is_tensor()) return std::nullopt;
    const Dims& dims = type.tensor().dims;
    const auto it = std::ranges::find(dims, open_);
    return it == dims.end() ? std::nullopt : std::optional(it - dims.begin());
  }

  /// `now` is `before` with one extent open that was the batch.
  bool opened(const Type& before, const Type& now) const {
    const auto axis = axis_of(now);
    if (!axis || !before.is_tensor() || now.tensor().rank() != before.tensor().rank()) return false;
    TensorType closed = now.tensor();
    closed.dims[size_t(*axis)] = Dim(batch_);
    return refines(before, closed) && refines(closed, before);
  }

  void open(NodeId id) {
    const Node& n = g_.node(id);
    const auto fed = std::ranges::find_if(
        n.inputs, [&](ValueId v) { return v != kNoValue && axis_of(g_.value(v).type); });
    if (fed == n.inputs.end()) return;  // its types are what they were
    refuse_mixing(id);
    if (const auto types = inferred(id); types && all_opened(n, *types)) return take(n, *types);
    rewrite(id, *axis_of(g_.value(*fed).type), g_.value(*fed).tensor().dims);
    const auto types = inferred(id);
    if (!types || !all_opened(n, *types)) {
      const std::string got = types ? to_string(types->at(0)) : to_string(type_of(n.outputs[0]));
      throw tied(describe(g_, id), "gives " + got + " whatever the batch");
    }
    take(n, *types);
  }

  Type type_of(ValueId v) const { return v == kNoValue ? Type() : g_.value(v).type; }

  std::optional<Types> inferred(NodeId id) const {
    const Node& n = g_.node(id);
    try {
      return infer_types(g_, *n.room, n.attrs, n.inputs, describe(g_, id));
    } catch (const UserError&) {
      return std::nullopt;
    }
  }

  bool all_opened(const Node& n, const Types& types) const {
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue && !opened(g_.value(n.outputs[i]).type, types.at(i)))
        return false;
    return true;
  }

  void take(const Node& n, const Types& types) {
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) g_.mutable_value(n.outputs[i]).type = types[i];
  }

  /// A node that reads the batch axis as a whole (a softmax along it) mixes samples.
  void refuse_mixing(NodeId id) const {
    const Node& n = g_.node(id);
    if (!n.room->axes.answered()) return;
    const AxisMap map = (*n.room->axes)(n.attrs, closed_types_in(id).seen, types_out(g_, id));
    for (const AxisTie& tie : map.ties)
      for (const AxisPlace& place : tie.places) {
        if (!tie.reads_whole || place.output) continue;
        const ValueId v = n.inputs[size_t(place.slot)];
        if (v != kNoValue && axis_of(g_.value(v).type) == place.axis)
          throw tied(describe(g_, id), "reads its operand's batch as a whole");
      }
  }

  struct Closed {
    std::vector<Type> types;
    TypesIn seen{"", {}};
  };

  /// Operand types as they were.
  Closed closed_types_in(NodeId id) const {
    const Node& n = g_.node(id);
    Closed c;
    c.types.resize(n.inputs.size());
    std::vector<TypesIn::Operand> operands(n.inputs.size());
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (n.inputs[i] == kNoValue) continue;
      const Value& value = g_.value(n.inputs[i]);
      c.types[i] = value.type;
      if (const auto axis = axis_of(value.type)) {
        TensorType closed = value.tensor();
        closed.dims[size_t(*axis)] = Dim(batch_);
        c.types[i] = closed;
      }
      operands[i] = {&c.types[i], value.constant ? &*value.constant : nullptr};
    }
    c.seen = TypesIn(describe(g_, id), std::move(operands));
    return c;
  }

  /// Attributes and constants for results that are open where the operand is, along `axis`.
  void rewrite(NodeId id, int64_t axis, const Dims& operand) {
    const Node& n = g_.node(id);
    if (!n.room->resized) return;
    Types wanted;
    for (ValueId v : n.outputs) {
      if (v == kNoValue || !g_.value(v).type.is_tensor()) return;
      TensorType type = g_.value(v).tensor();
      if (axis >= type.rank() || !type.dims[size_t(axis)].is(batch_) ||
          !std::equal(operand.begin(), operand.begin() + axis, type.dims.begin()))
        return;
      type.dims[size_t(axis)] = open_;
      wanted.emplace_back(std::move(type));
    }
    const Closed before = closed_types_in(id);
    Resized fix;
    try {
      fix = n.room->resized(n.attrs, before.seen, types_in(g_, id), wanted);
    } catch (const UserError&) {
      return;  // the node stays as it is, and is refused
    }
    g_.mutable_node(id).attrs = fix.attrs;
    for (auto& [slot, value] : fix.constants) {
      const ValueId old = g_.node(id).inputs[size_t(slot)];
      const std::string name = g_.fresh_name(g_.value(old).name + "_open");
      g_.mutable_node(id).inputs[size_t(slot)] = g_.add_constant(name, std::move(value));
    }
  }

  /// Open extents agree with anything; whether the network does is seen with a number.
  void try_another_batch() const {
    std::vector<Shape> shapes;
    for (ValueId v : g_.inputs()) {
      Shape shape;
      for (const Dim& d : g_.value(v).tensor().dims) {
        if (!d.known() && d != open_) return;  // nothing is known of this one
        shape.push_back(d.known() ? d.value() : batch_ + 1);
      }
      shapes.push_back(std::move(shape));
    }
    Graph other;
    try {
      other = specialised(g_, shapes);
    } catch (const UserError& e) {
      throw tied(e.where(), e.problem());
    }
    for (size_t i = 0; i < g_.outputs().size(); ++i) {
      const Value& v = g_.value(g_.outputs()[i]);
      if (!other.value(other.outputs()[i]).tensor().dims[0].is(batch_ + 1))
        throw tied("output '" + v.name + "'", "is of one length whatever the batch");
    }
  }

  Graph g_;
  const int64_t batch_;
  const Dim open_;
};

}  // namespace

Graph with_open_batch(const Graph& graph) {
  const auto batch = fixed_batch(graph);
  return batch ? Opener(graph, *batch).run() : graph;
}

}  // namespace espalier

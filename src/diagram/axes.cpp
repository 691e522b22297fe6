#include "diagram/axes.h"

#include <algorithm>
#include <map>
#include <optional>

#include "ir/builder.h"
#include "ir/room.h"

namespace espalier::diagram {
namespace {

/// Facets about axes want numbers. A symbol stands in as a number of its own that is unlike any
/// extent and keeps its name; an extent nobody knows is a symbol of its own.
class Numbers {
 public:
  /// Nothing for what is no tensor of known rank, or where there are too many symbols.
  std::optional<Type> of(const Type& type) {
    if (!type.is_tensor()) return std::nullopt;
    TensorType t = type.tensor();
    for (Dim& d : t.dims) {
      if (d.known()) continue;
      const int64_t n = number(d);
      if (n == 0) return std::nullopt;
      d = Dim(n);
    }
    return Type(std::move(t));
  }

  bool any() const { return used_ > 0; }

  /// The symbol that `n` stands for, "?" for what was computed from symbols, else the number.
  std::string label(int64_t n) const {
    if (const auto found = names_.find(n); found != names_.end()) return found->second;
    for (size_t i = 0; i < used_; ++i)
      if (n > 0 && n % kPrimes[i] == 0) return "?";
    return std::to_string(n);
  }

 private:
  static constexpr int64_t kPrimes[] = {1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049,
                                        1051, 1061, 1063, 1069, 1087, 1091, 1093, 1097};

  int64_t number(const Dim& d) {
    if (!d.name().empty())
      if (const auto known = numbers_.find(d.name()); known != numbers_.end()) return known->second;
    if (used_ == std::size(kPrimes)) return 0;
    const int64_t n = kPrimes[used_++];
    names_[n] = to_string(d);
    if (!d.name().empty()) numbers_[d.name()] = n;
    return n;
  }

  size_t used_ = 0;
  std::map<std::string, int64_t> numbers_;
  std::map<int64_t, std::string> names_;
};

/// A node with numbers for symbols.
struct Numbered {
  std::vector<Type> operands;  ///< only those that are present mean something
  std::vector<Type> results;
  Numbers numbers;
};

bool has_operand(const Node& n, size_t slot) {
  return slot < n.inputs.size() && n.inputs[slot] != kNoValue;
}

TypesIn operands_of(const Graph& g, NodeId id, const std::vector<Type>& types) {
  const Node& n = g.node(id);
  std::vector<TypesIn::Operand> operands(n.inputs.size());
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    if (!has_operand(n, i)) continue;
    const Value& v = g.value(n.inputs[i]);
    operands[i] = {&types[i], v.constant ? &*v.constant : nullptr};
  }
  return TypesIn(describe(g, id), std::move(operands));
}

/// Results as inference gives them for the numbers. Nothing where it cannot say all extents.
std::optional<Numbered> numbered(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  Numbered out;
  out.operands.resize(n.inputs.size());
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    if (!has_operand(n, i)) continue;
    auto type = out.numbers.of(g.value(n.inputs[i]).type);
    if (!type) return std::nullopt;
    out.operands[i] = std::move(*type);
  }
  bool known = !out.numbers.any();
  for (ValueId v : n.outputs) known = known && v != kNoValue && g.value(v).type.is_static();
  if (known) {
    for (ValueId v : n.outputs) out.results.push_back(g.value(v).type);
    return out;
  }
  try {
    out.results = infer_types(*n.room, n.attrs, operands_of(g, id, out.operands));
  } catch (const UserError&) {
    return std::nullopt;  // numbers that do not fit each other as the symbols do
  }
  if (out.results.size() < n.outputs.size()) return std::nullopt;
  out.results.resize(n.outputs.size());
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    if (!out.results[i].is_static()) return std::nullopt;
    if (n.outputs[i] == kNoValue) continue;
    const Type& drawn = g.value(n.outputs[i]).type;
    if (!drawn.is_tensor() || drawn.tensor().rank() != out.results[i].tensor().rank())
      return std::nullopt;
  }
  return out;
}

class Reader {
 public:
  Reader(const Graph& g, NodeId id) : g_(g), id_(id), n_(g.node(id)) {}

  BoxAxes read() {
    const auto with = numbered(g_, id_);
    if (with) add_wires(*with);
    add_mixed();
    if (with) add_repeats(*with);
    return std::move(axes_);
  }

 private:
  const Type* type_of(bool output, size_t slot) const {
    const auto& values = output ? n_.outputs : n_.inputs;
    if (slot >= values.size() || values[slot] == kNoValue) return nullptr;
    return &g_.value(values[slot]).type;
  }
  bool drawn(const AxisPlace& p) const {
    if (p.slot < 0) return false;
    const Type* type = type_of(p.output, size_t(p.slot));
    return type && p.axis >= 0 && p.axis < drawn_rank(*type);
  }

  void add_wires(const Numbered& with) {
    if (!n_.room->axes.answered()) return;
    AxisMap map;
    try {
      map = (*n_.room->axes)(n_.attrs, operands_of(g_, id_, with.operands), with.results);
    } catch (const UserError&) {
      return;  // the room wants to know more (a constant, say) than the graph says
    }
    for (AxisTie& tie : map.ties) {
      Wire wire{with.numbers.label(tie.count), {}, tie.reads_whole};
      for (const AxisPlace& p : tie.places)
        if (drawn(p)) wire.places.push_back(p);
      if (!wire.places.empty()) axes_.wires.push_back(std::move(wire));
    }
  }

  bool tied(bool output, int slot, int axis) const {
    return std::ranges::any_of(axes_.wires, [&](const Wire& w) {
      return std::ranges::any_of(w.places, [&](const AxisPlace& p) {
        return p.output == output && p.slot == slot && p.axis == axis;
      });
    });
  }

  void add_mixed() {
    for (const bool output : {false, true}) {
      const size_t slots = output ? n_.outputs.size() : n_.inputs.size();
      for (size_t slot = 0; slot < slots; ++slot) {
        const Type* type = type_of(output, slot);
        for (int axis = 0; type && axis < drawn_rank(*type); ++axis)
          if (!tied(output, int(slot), axis))
            axes_.mixed.push_back(output ? AxisPlace::out(int(slot), axis)
                                         : AxisPlace::in(int(slot), axis));
      }
    }
  }

  /// Whether an axis of an operand runs on into a result.
  bool runs_on(int slot, int axis) const {
    return std::ranges::any_of(axes_.wires, [&](const Wire& w) {
      const auto& p = w.places;
      return std::ranges::any_of(p, &AxisPlace::output) &&
             std::ranges::any_of(p, [&](const AxisPlace& q) {
               return !q.output && q.slot == slot && q.axis == axis;
             });
    });
  }

  /// How many leading operands a pointwise operator reads; 0 for others.
  int pointwise_operands(const Numbered& with) const {
    if (!n_.room->pointwise.answered()) return 0;
    try {
      const auto op = (*n_.room->pointwise)(n_.attrs, operands_of(g_, id_, with.operands));
      return op ? espalier::operands_of(op->code) : 0;
    } catch (const UserError&) {
      return 0;
    }
  }

  /// An operand is repeated along an axis of the result that other operands bring and it does not,
  /// if all of its own axes run on. One that is contracted as well (of a MatMul) is repeated along
  /// leading axes only: those it lacks by numpy's alignment, or has with an extent of 1.
  void add_repeats(const Numbered& with) {
    if (with.results.empty() || n_.outputs.empty() || n_.outputs[0] == kNoValue) return;
    const TensorType& y = with.results[0].tensor();
    const int pointwise = pointwise_operands(with);
    for (int slot = 0; slot < int(n_.inputs.size()); ++slot) {
      if (!has_operand(n_, size_t(slot))) continue;
      const TensorType& x = with.operands[size_t(slot)].tensor();
      bool any = false, lifted = true;
      for (int axis = 0; axis < int(x.rank()); ++axis) {
        const bool is_tied = tied(false, slot, axis);
        any = any || is_tied;
        if (is_tied ? !runs_on(slot, axis) : !x.dims[size_t(axis)].is(1)) lifted = false;
      }
      if (!any && !(lifted && slot < pointwise)) continue;
      for (int axis = 0; axis < int(y.rank()); ++axis) {
        if (y.dims[size_t(axis)].is(1) || !others_bring(axis, slot)) continue;
        const int64_t own = axis - (y.rank() - x.rank());
        const bool lacks = own < 0 || (x.dims[size_t(own)].is(1) && !tied(false, slot, int(own)));
        if (lifted || lacks) axes_.repeats.push_back({slot, axis});
      }
    }
  }

  /// Whether axis `axis` of the first result runs on from operands, and not from `slot`.
  bool others_bring(int axis, int slot) const {
    bool others = false;
    for (const Wire& w : axes_.wires) {
      const bool here = std::ranges::any_of(
          w.places, [&](const AxisPlace& p) { return p.output && p.slot == 0 && p.axis == axis; });
      if (!here) continue;
      for (const AxisPlace& p : w.places) {
        if (!p.output && p.slot == slot) return false;
        others = others || !p.output;
      }
    }
    return others;
  }

  const Graph& g_;
  NodeId id_;
  const Node& n_;
  BoxAxes axes_;
};

std::string text_of(const AxisPlace& p) {
  std::string s = (p.output ? "r" : "") + std::to_string(p.slot) + "." + std::to_string(p.axis);
  if (p.offset != 0 || p.outer != 1 || p.inner != 1)
    s += "{" + std::to_string(p.offset) + "," + std::to_string(p.outer) + "," +
         std::to_string(p.inner) + "}";
  return s;
}

/// " 0.1 1.0 -> r0.1"
std::string sides(const std::vector<AxisPlace>& places) {
  std::string in, out;
  for (const AxisPlace& p : places) (p.output ? out : in) += " " + text_of(p);
  return in + " ->" + out;
}

}  // namespace

BoxAxes box_axes(const Graph& graph, NodeId node) { return Reader(graph, node).read(); }

std::vector<std::string> lines_of(const BoxAxes& axes) {
  std::vector<std::string> lines;
  for (const Wire& w : axes.wires)
    lines.push_back(std::string(w.whole ? "axis whole " : "axis ") + w.label + ":" +
                    sides(w.places));
  if (!axes.mixed.empty()) lines.push_back("mixed:" + sides(axes.mixed));
  int last = -1;
  for (const Repeat& r : axes.repeats) {
    if (r.slot != last) lines.push_back("repeat: " + std::to_string(r.slot) + " along");
    last = r.slot;
    lines.back() += " r0." + std::to_string(r.axis);
  }
  return lines;
}

int64_t drawn_rank(const Type& type) { return type.is_tensor() ? type.tensor().rank() : 0; }

}  // namespace espalier::diagram

#include "diagram/same.h"

#include <cmath>

#include "ir/room.h"

namespace espalier::diagram {
namespace {

/// Types as they are written: an extent nobody knows equals another one in the same place.
bool same_type(const Type& a, const Type& b) { return to_string(a) == to_string(b); }

bool same_attribute(const AttributeValue& a, const AttributeValue& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&](const auto& x) {
        using T = std::decay_t<decltype(x)>;
        const auto& y = std::get<T>(b);
        if constexpr (std::is_same_v<T, Tensor>)
          return x.identical(y);
        else if constexpr (std::is_same_v<T, GraphRef>)
          return difference(*x, *y).empty();
        else if constexpr (std::is_same_v<T, Type>)
          return same_type(x, y);
        else if constexpr (std::is_same_v<T, float>)
          return x == y || (std::isnan(x) && std::isnan(y));
        else
          return x == y;
      },
      a);
}

class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b)
      : a_(a), b_(b), map_(a.value_count(), kNoValue), readers_(b.users()) {}

  std::string run() {
    if (a_.name != b_.name) return "the names of the graphs";
    if (a_.metadata != b_.metadata) return "metadata";
    if (a_.inputs().size() != b_.inputs().size()) return "the number of inputs";
    for (size_t i = 0; i < a_.inputs().size(); ++i)
      if (!pair(a_.inputs()[i], b_.inputs()[i])) return where("input", a_.inputs()[i]);
    const auto ca = a_.constants(), cb = b_.constants();
    if (ca.size() != cb.size()) return "the number of constants";
    for (size_t i = 0; i < ca.size(); ++i)
      if (!pair(ca[i], cb[i])) return where("constant", ca[i]);
    if (a_.order().size() != b_.order().size()) return "the number of nodes";
    for (size_t i = 0; i < a_.order().size(); ++i)
      if (const std::string what = node(a_.order()[i], b_.order()[i]); !what.empty())
        return describe(a_, a_.order()[i]) + ": " + what;
    return ends();
  }

 private:
  std::string where(const char* kind, ValueId v) const {
    return std::string(kind) + " '" + a_.value(v).name + "'";
  }

  /// Takes `w` for `v` from now on, if they are alike.
  bool pair(ValueId v, ValueId w) {
    const Value &x = a_.value(v), &y = b_.value(w);
    if (x.name != y.name || !same_type(x.type, y.type)) return false;
    if (x.constant.has_value() != y.constant.has_value()) return false;
    if (x.constant && (x.role != y.role || !x.constant->identical(*y.constant))) return false;
    map_[size_t(v)] = w;
    return true;
  }

  ValueId other(ValueId v) const { return v == kNoValue ? kNoValue : map_[size_t(v)]; }

  std::string node(NodeId a, NodeId b) {
    const Node &m = a_.node(a), &n = b_.node(b);
    if (m.room != n.room) return "the operator";
    if (m.name != n.name) return "the node's name";
    const AttributeMap x = m.room->print(m.attrs, true), y = n.room->print(n.attrs, true);
    if (x.size() != y.size()) return "the number of attributes";
    for (const auto& [name, value] : x) {
      const auto found = y.find(name);
      if (found == y.end() || !same_attribute(value, found->second)) return "attribute " + name;
    }
    if (m.inputs.size() != n.inputs.size()) return "the number of operands";
    for (size_t i = 0; i < m.inputs.size(); ++i)
      if (other(m.inputs[i]) != n.inputs[i]) return "operand " + std::to_string(i);
    if (m.outputs.size() != n.outputs.size()) return "the number of results";
    for (size_t i = 0; i < m.outputs.size(); ++i) {
      const ValueId w = n.outputs[i];
      if (m.outputs[i] == kNoValue) {
        if (w != kNoValue && !readers_[size_t(w)].empty()) return "result " + std::to_string(i);
      } else if (w == kNoValue || !pair(m.outputs[i], w)) {
        return "result " + std::to_string(i);
      }
    }
    return "";
  }

  std::string ends() const {
    if (a_.outputs().size() != b_.outputs().size()) return "the number of outputs";
    for (size_t i = 0; i < a_.outputs().size(); ++i)
      if (other(a_.outputs()[i]) != b_.outputs()[i]) return where("output", a_.outputs()[i]);
    if (a_.states().size() != b_.states().size()) return "the number of states";
    for (size_t i = 0; i < a_.states().size(); ++i) {
      const StatePair &s = a_.states()[i], &t = b_.states()[i];
      if (other(s.input) != t.input || other(s.output) != t.output) return where("state", s.input);
    }
    return "";
  }

  const Graph& a_;
  const Graph& b_;
  std::vector<ValueId> map_;
  std::vector<std::vector<NodeId>> readers_;
};

}  // namespace

std::string difference(const Graph& a, const Graph& b) { return Comparison(a, b).run(); }

}  // namespace espalier::diagram

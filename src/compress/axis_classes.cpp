#include "compress/axis_classes.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "compress/axis_elements.h"
#include "compress/optional_results.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"

namespace espalier {
namespace {

ValueId value_of(const Node& n, const AxisPlace& p) {
  const auto& slots = p.output ? n.outputs : n.inputs;
  return size_t(p.slot) < slots.size() ? slots[size_t(p.slot)] : kNoValue;
}

template <class F>
void each_position(const AxisTie& tie, const AxisPlace& p, int64_t k, F f) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t i = 0; i < p.inner; ++i) f(p.offset + (o * tie.count + k) * p.inner + i);
}

/// A node's ties, each with whether it takes part.
struct NodeTies {
  NodeId node = kNoNode;
  std::vector<AxisTie> ties;
  std::vector<bool> contested, active;
  std::string refused;
};

class Deriver {
 public:
  explicit Deriver(const Graph& g) : g_(g), elements_(g) {}

  AxisClasses run(Graph graph) && {
    pin_the_outside();
    ask_rooms();
    settle_contested();
    for (const NodeTies& n : nodes_) pin_uncovered(n);
    AxisClasses result;
    result.graph = std::move(graph);
    gather(result);
    describe_pins(result);
    return result;
  }

 private:
  void pin_value(ValueId v, const std::string& why) {
    const Value& value = g_.value(v);
    if (!value.type.is_tensor()) return;
    for (int64_t axis = 0; axis < value.tensor().rank(); ++axis)
      for (int64_t p = 0; p < value.tensor().dims[size_t(axis)].value(); ++p)
        elements_.pin(elements_.at(v, int(axis), p), why);
  }

  void pin_the_outside() {
    for (ValueId v : g_.inputs()) pin_value(v, "'" + g_.value(v).name + "' is a graph input");
    for (ValueId v : g_.outputs()) pin_value(v, "'" + g_.value(v).name + "' is a graph output");
    for (const StatePair& s : g_.states())
      pin_value(s.output, "'" + g_.value(s.output).name + "' is a state");
  }

  /// Which tie first claims each element the node touches; ties that share an element with another
  /// (the axes a reshape merges) are contested.
  void ask_rooms() {
    for (NodeId id : g_.order()) {
      NodeTies n;
      n.node = id;
      const Node& node = g_.node(id);
      if (node.room->axes.answered())
        n.ties = (*node.room->axes)(node.attrs, types_in(g_, id), types_out(g_, id)).ties;
      else
        n.refused = node.room->axes.why();
      n.contested.resize(n.ties.size(), false);
      n.active.resize(n.ties.size(), false);
      std::map<int64_t, size_t> claims;
      for (size_t t = 0; t < n.ties.size(); ++t)
        each_element(node, n.ties[t], [&](int64_t, int64_t e) {
          const auto [it, fresh] = claims.emplace(e, t);
          if (!fresh && it->second != t) n.contested[t] = n.contested[it->second] = true;
        });
      for (size_t t = 0; t < n.ties.size(); ++t)
        if (!n.contested[t]) activate(n, t);
      // What no tie at all covers is pinned before contested ties are weighed against each other.
      pin_uncovered(n, /*count_contested=*/true);
      nodes_.push_back(std::move(n));
    }
  }

  /// Of ties that contest an element one may act: the first that has something left to cut.
  void settle_contested() {
    for (NodeTies& n : nodes_) {
      const Node& node = g_.node(n.node);
      std::map<int64_t, size_t> claimed;
      for (size_t t = 0; t < n.ties.size(); ++t) {
        if (!n.contested[t]) continue;
        std::vector<bool> blocked(size_t(n.ties[t].count), false);
        bool taken = false;
        each_element(node, n.ties[t], [&](int64_t k, int64_t e) {
          if (elements_.pinned(e)) blocked[size_t(k)] = true;
          taken = taken || claimed.contains(e);
        });
        if (taken || std::find(blocked.begin(), blocked.end(), false) == blocked.end()) continue;
        activate(n, t);
        each_element(node, n.ties[t], [&](int64_t, int64_t e) { claimed.emplace(e, t); });
      }
    }
  }

  void activate(NodeTies& n, size_t t) {
    n.active[t] = true;
    std::vector<int64_t> first(size_t(n.ties[t].count), -1);
    each_element(g_.node(n.node), n.ties[t], [&](int64_t k, int64_t e) {
      if (first[size_t(k)] < 0)
        first[size_t(k)] = e;
      else
        elements_.join(first[size_t(k)], e);
    });
  }

  template <class F>
  void each_element(const Node& node, const AxisTie& tie, F f) const {
    for (int64_t k = 0; k < tie.count; ++k)
      for (const AxisPlace& p : tie.places) {
        const ValueId v = value_of(node, p);
        if (v == kNoValue) continue;
        each_position(tie, p, k, [&](int64_t at) { f(k, elements_.at(v, p.axis, at)); });
      }
  }

  void pin_uncovered(const NodeTies& n, bool count_contested = false) {
    const Node& node = g_.node(n.node);
    for (bool output : {false, true}) {
      const auto& slots = output ? node.outputs : node.inputs;
      for (size_t s = 0; s < slots.size(); ++s) {
        if (slots[s] == kNoValue || !g_.value(slots[s]).type.is_tensor()) continue;
        const Shape shape = g_.value(slots[s]).tensor().shape();
        for (size_t axis = 0; axis < shape.size(); ++axis) {
          std::vector<bool> covered(size_t(shape[axis]), false);
          for (size_t t = 0; t < n.ties.size(); ++t) {
            if (!n.active[t] && !(count_contested && n.contested[t])) continue;
            for (const AxisPlace& p : n.ties[t].places)
              if (p.output == output && size_t(p.slot) == s && size_t(p.axis) == axis)
                for (int64_t k = 0; k < n.ties[t].count; ++k)
                  each_position(n.ties[t], p, k, [&](int64_t at) { covered[size_t(at)] = true; });
          }
          for (int64_t p = 0; p < shape[axis]; ++p)
            if (!covered[size_t(p)])
              elements_.pin(elements_.at(slots[s], int(axis), p), untied(n, output, s, axis));
        }
      }
    }
  }

  std::string untied(const NodeTies& n, bool output, size_t slot, size_t axis) const {
    std::string why = describe(g_, n.node);
    if (!n.refused.empty()) return why + " refuses cuts: " + n.refused;
    why += output ? " makes axis " : " reads axis ";
    return why + std::to_string(axis) + (output ? " of result " : " of operand ") +
           std::to_string(slot) + " as a whole";
  }

  // ---- from sets to groups and classes --------------------------------------------------------

  void gather(AxisClasses& result) {
    std::map<int64_t, AxisGroup> groups = free_sets();
    using Signature = std::vector<std::array<int64_t, 3>>;
    std::map<Signature, size_t> class_of;
    for (auto& [root, group] : groups) {
      Signature signature;
      for (const AxisSlice& s : group.slices)
        signature.push_back({s.value, s.axis, int64_t(s.positions.size())});
      const auto [it, fresh] = class_of.emplace(std::move(signature), result.classes.size());
      if (fresh) result.classes.emplace_back();
      result.classes[it->second].groups.push_back(std::move(group));
    }
    std::map<int64_t, int32_t> group_of_root;
    for (size_t c = 0; c < result.classes.size(); ++c)
      for (size_t i = 0; i < result.classes[c].groups.size(); ++i) {
        const AxisSlice& s = result.classes[c].groups[i].slices.front();
        group_of_root[elements_.root(elements_.at(s.value, s.axis, s.positions.front()))] =
            result.flat(c, i);
      }
    keep_ties(result, group_of_root);
    for (AxisClass& c : result.classes) describe_class(c);
  }

  /// The unpinned sets that touch a constant and leave something of every axis.
  std::map<int64_t, AxisGroup> free_sets() {
    std::map<int64_t, AxisGroup> groups;
    std::map<int64_t, bool> touches_constant;
    for (size_t i = 0; i < g_.value_count(); ++i) {
      const auto v = ValueId(i);
      if (!g_.value(v).type.is_tensor()) continue;
      const Shape shape = g_.value(v).tensor().shape();
      for (int axis = 0; axis < int(shape.size()); ++axis) {
        for (int64_t p = 0; p < shape[size_t(axis)]; ++p) {
          const int64_t e = elements_.at(v, axis, p);
          if (elements_.pinned(e)) continue;
          const int64_t root = elements_.root(e);
          auto& slices = groups[root].slices;
          if (slices.empty() || slices.back().value != v || slices.back().axis != axis)
            slices.push_back({v, axis, {}, false});
          slices.back().positions.push_back(p);
          if (g_.is_constant(v)) touches_constant[root] = true;
          if (int64_t(slices.back().positions.size()) == shape[size_t(axis)])
            elements_.pin(e, "'" + g_.value(v).name + "' would vanish with it");
        }
      }
    }
    std::erase_if(groups, [&](const auto& entry) {
      if (!elements_.pinned(entry.first) && !touches_constant.contains(entry.first))
        elements_.pin(entry.first, "no constant carries it");
      return elements_.pinned(entry.first);
    });
    return groups;
  }

  void keep_ties(AxisClasses& result, const std::map<int64_t, int32_t>& group_of_root) {
    std::vector<std::pair<size_t, size_t>> of_flat;
    for (size_t c = 0; c < result.classes.size(); ++c)
      for (size_t i = 0; i < result.classes[c].groups.size(); ++i) of_flat.emplace_back(c, i);
    result.node_macs.resize(g_.node_count(), 0);
    for (NodeId id : g_.order()) result.node_macs[size_t(id)] = cost_of(g_, id).macs;
    for (const NodeTies& n : nodes_) {
      const Node& node = g_.node(n.node);
      const double macs = result.node_macs[size_t(n.node)];
      for (size_t t = 0; t < n.ties.size(); ++t) {
        if (!n.active[t]) continue;
        NodeTie tie{n.node, n.ties[t], std::vector<int32_t>(size_t(n.ties[t].count), -1), {}};
        bool any = false;
        each_element(node, tie.tie, [&](int64_t k, int64_t e) {
          const auto it = group_of_root.find(elements_.root(e));
          if (it == group_of_root.end()) return;
          tie.group[size_t(k)] = it->second;
          any = true;
        });
        if (!any) continue;
        std::map<size_t, int64_t> indices;
        for (int32_t flat : tie.group)
          if (flat >= 0 && of_flat[size_t(flat)].second == 0)
            ++indices[of_flat[size_t(flat)].first];
        tie.members.assign(indices.begin(), indices.end());
        note_tie(result, tie, of_flat, macs);
        result.ties.push_back(std::move(tie));
      }
    }
  }

  /// What one tie says about the classes it touches.
  void note_tie(AxisClasses& result, const NodeTie& tie,
                const std::vector<std::pair<size_t, size_t>>& of_flat, double macs) {
    const Node& node = g_.node(tie.node);
    bool has_result = false, weighed = false;
    for (const AxisPlace& p : tie.tie.places) {
      has_result = has_result || p.output;
      weighed = weighed || (!p.output && g_.is_constant(value_of(node, p)));
    }
    for (int32_t flat : tie.group) {
      if (flat < 0) continue;
      const auto [cls, index] = of_flat[size_t(flat)];
      AxisClass& c = result.classes[cls];
      if (index == 0) c.macs += macs / double(tie.tie.count);
      if (has_result && !tie.tie.zero_passes && c.zero_passes) {
        c.zero_passes = false;
        c.zero_breaker = describe(g_, tie.node);
      }
      if (tie.tie.reads_whole && !c.reads_whole) {
        c.reads_whole = true;
        c.whole_reader = describe(g_, tie.node);
      }
      if (!has_result) {
        c.weighed = c.weighed && weighed;
        continue;
      }
      for (AxisSlice& s : c.groups[index].slices)
        for (const AxisPlace& p : tie.tie.places)
          if (!p.output && value_of(node, p) == s.value && p.axis == s.axis &&
              g_.is_constant(s.value))
            s.produces = true;
    }
  }

  void describe_class(AxisClass& c) {
    const AxisSlice* named = nullptr;
    for (const AxisSlice& s : c.groups[0].slices) {
      const Value& v = g_.value(s.value);
      if (!v.constant) continue;
      if (!named || (s.produces && !named->produces)) named = &s;
      if (v.role == Role::kParameter)
        c.params += double(v.constant->size()) * double(s.positions.size()) /
                    double(v.constant->shape()[size_t(s.axis)]);
    }
    c.name = g_.value(named->value).name + "[" + std::to_string(named->axis) + "]";
  }

  void describe_pins(AxisClasses& result) const {
    for (ValueId v : g_.constants()) {
      const Shape shape = g_.value(v).tensor().shape();
      for (int axis = 0; axis < int(shape.size()); ++axis) {
        if (shape[size_t(axis)] < 2) continue;
        const int64_t first = elements_.at(v, axis, 0);
        bool all = true;
        for (int64_t p = 0; p < shape[size_t(axis)]; ++p) all = all && elements_.pinned(first + p);
        if (all) result.pinned.push_back({v, axis, elements_.reason(first)});
      }
    }
  }

  const Graph& g_;
  Elements elements_;
  std::vector<NodeTies> nodes_;
};

Graph static_twin(const Graph& graph, std::span<const Shape> shapes) {
  std::vector<Shape> taken(shapes.begin(), shapes.end());
  if (taken.empty()) {
    for (ValueId v : graph.inputs()) {
      if (!graph.value(v).type.is_tensor())
        throw unsupported("input '" + graph.value(v).name + "'",
                          "is no tensor; axes are traced through tensors");
      Shape s;
      for (const Dim& d : graph.value(v).tensor().dims) s.push_back(d.known() ? d.value() : 1);
      taken.push_back(std::move(s));
    }
  }
  Graph g = specialised(graph, taken);
  if (const std::string why = dynamics_of(g); !why.empty()) throw depends_on_data(graph.name, why);
  const std::vector<NodeId> order = g.order();
  for (NodeId id : order)
    if (g.node(id).room->axes.derived()) expand_in_place(g, id);
  drop_unread_results(g);
  g.erase_dead();
  g = g.compacted();
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).outputs)
      if (v != kNoValue && g.value(v).type.is_tensor() && !g.value(v).tensor().is_static())
        throw unsupported(
            describe(g, id),
            "its result " + to_string(g.value(v).type) + " has extents that depend on data",
            "axes can be traced through static shapes only");
  return g;
}

}  // namespace

AxisClasses axis_classes(const Graph& graph, std::span<const Shape> shapes) {
  Graph twin = static_twin(graph, shapes);
  const Graph& g = twin;
  return Deriver(g).run(twin);
}

}  // namespace espalier

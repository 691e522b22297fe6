// The masked twin of a cut: what pruning is tested against, and what trains when widths change.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "compress/drops.h"
#include "compress/restrict.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/verify.h"

namespace espalier {
namespace {

class Masker {
 public:
  Masker(const AxisClasses& classes, const Keep& keep)
      : g_(classes.graph), drops_(dropped(classes, keep)) {
    const std::vector<bool> kept = keep.flat();
    for (const NodeTie& t : classes.ties) {
      bool cut = false;
      for (int32_t group : t.group) cut = cut || (group >= 0 && !kept[size_t(group)]);
      if (cut) ties_[t.node].push_back(&t.tie);
    }
  }

  Graph run() && {
    for (const auto& [v, axes] : drops_)
      if (g_.is_constant(v)) zero(v, axes);
    const std::vector<NodeId> order = g_.order();
    for (NodeId id : order) {
      const auto it = ties_.find(id);
      if (it == ties_.end()) continue;
      bool whole = false;
      for (const AxisTie* t : it->second) whole = whole || t->reads_whole;
      if (whole)
        see_kept_only(id);
      else
        silence(id, it->second);
    }
    g_.sort();
    g_.erase_dead();
    g_ = g_.compacted();
    verify(g_, "masked");
    return std::move(g_);
  }

 private:
  void zero(ValueId v, const AxisDrops& axes) {
    Tensor t = g_.value(v).constant->clone();
    for (const auto& [axis, flags] : axes) zero_slices(t, axis, positions(flags, true));
    g_.mutable_value(v).constant = std::move(t);
  }

  /// Readers of `from`, other than node `by`, read `to`.
  void redirect(ValueId from, ValueId to, NodeId by) {
    g_.replace_uses(from, to);
    for (ValueId& v : g_.mutable_node(by).inputs)
      if (v == to) v = from;
  }

  /// Results along ties where zero does not pass are set to zero at the dropped positions.
  void silence(NodeId id, const std::vector<const AxisTie*>& ties) {
    Drops masks;
    for (const AxisTie* t : ties) {
      if (t->zero_passes) continue;
      for (const AxisPlace& p : t->places) {
        if (!p.output || size_t(p.slot) >= g_.node(id).outputs.size()) continue;
        const ValueId v = g_.node(id).outputs[size_t(p.slot)];
        if (const auto it = drops_.find(v); v != kNoValue && it != drops_.end())
          if (const auto axis = it->second.find(p.axis); axis != it->second.end())
            masks[v].insert(*axis);
      }
    }
    for (const auto& [v, axes] : masks) {
      Builder b(g_);
      ValueId masked = v;
      NodeId last = kNoNode;
      for (const auto& [axis, flags] : axes) {
        Shape shape(size_t(g_.value(v).tensor().rank()), 1);
        shape[size_t(axis)] = int64_t(flags.size());
        Tensor kept(DType::boolean, shape);
        for (size_t i = 0; i < flags.size(); ++i) kept.mutable_data<bool>()[i] = !flags[i];
        masked = b.where(b.constant(kept), masked, b.scalar(0, v));
        if (last == kNoNode) last = g_.order().back();
      }
      redirect(v, masked, last);
    }
  }

  /// The node runs on the kept positions; its results are spread back, zero elsewhere.
  void see_kept_only(NodeId id) {
    const Node n = g_.node(id);
    Builder b(g_);
    const TypesIn before = types_in(g_, id);
    Values operands;
    for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? v : gathered(b, v));
    Types wanted = types_out(g_, id);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (const auto it = drops_.find(n.outputs[i]); it != drops_.end()) {
        wanted[i] = cut(wanted[i].tensor(), it->second);
      }
    Attributes attrs = n.attrs;
    if (n.room->resized) {
      Resized r =
          n.room->resized(attrs, before, types_in(g_, *n.room, operands, describe(g_, id)), wanted);
      attrs = r.attrs;
      for (auto& [slot, value] : r.constants) operands[size_t(slot)] = b.constant(value);
    }
    const Values results = b.op(*n.room, attrs, operands, n.name);
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.outputs[i] == kNoValue) continue;
      const auto it = drops_.find(n.outputs[i]);
      g_.replace_uses(n.outputs[i],
                      it == drops_.end() ? results[i] : spread(b, results[i], it->second));
    }
  }

  /// The kept positions of v. Constants were zeroed, not cut: they are gathered like the rest.
  ValueId gathered(Builder& b, ValueId v) {
    const auto it = drops_.find(v);
    if (it == drops_.end()) return v;
    ValueId x = v;
    if (g_.is_constant(v)) return b.constant(cut(*g_.value(v).constant, it->second));
    for (const auto& [axis, flags] : it->second)
      x = b.one("Gather", {x, b.ints(positions(flags, false))}, {{"axis", int64_t{axis}}});
    return x;
  }

  /// Kept positions back in their places: a slice of zeros is appended, and dropped positions read
  /// it.
  ValueId spread(Builder& b, ValueId x, const AxisDrops& axes) {
    for (const auto& [axis, flags] : axes) {
      Shape slice = b.type(x).shape();
      slice[size_t(axis)] = 1;
      const ValueId zeros = b.constant(Tensor(b.type(x).dtype, slice));
      const ValueId padded = b.one("Concat", {x, zeros}, {{"axis", int64_t{axis}}});
      std::vector<int64_t> source(flags.size());
      const auto missing = std::ranges::count(flags, false);
      int64_t next = 0;
      for (size_t i = 0; i < flags.size(); ++i) source[i] = flags[i] ? missing : next++;
      x = b.one("Gather", {padded, b.ints(source)}, {{"axis", int64_t{axis}}});
    }
    return x;
  }

  Graph g_;
  const Drops drops_;
  std::map<NodeId, std::vector<const AxisTie*>> ties_;
};

}  // namespace

Graph masked(const AxisClasses& classes, const Keep& keep) { return Masker(classes, keep).run(); }

}  // namespace espalier

// Reshapes, transpositions and slices that together pick along one axis are one Gather or Slice:
// what exporters make of a shuffle of channels and the halves taken of it (Zhang et al.,
// "ShuffleNet", arXiv:1707.01083, §3.1). Channels then stay where a layout has put them.
#include <algorithm>
#include <optional>

#include "bind/strided_view.h"
#include "ir/patch.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

using bind::StridedView;
using Users = std::vector<std::vector<NodeId>>;

struct Pick {
  ValueId value = kNoValue, source = kNoValue;
  int64_t axis = 0;
  std::vector<int64_t> indices;
};

bool is_static_tensor(const Graph& g, ValueId v) {
  const Type& t = g.value(v).type;
  return t.is_tensor() && t.is_static() && numel(t.tensor().shape()) > 0;
}

/// Where the elements along one axis of a view lie.
std::vector<int64_t> offsets_of(const std::vector<StridedView::Factor>& axis) {
  std::vector<int64_t> offsets = {0};
  for (const auto& [extent, stride] : axis) {
    std::vector<int64_t> next;
    for (const int64_t offset : offsets)
      for (int64_t i = 0; i < extent; ++i) next.push_back(offset + i * stride);
    offsets = std::move(next);
  }
  return offsets;
}

/// The view of a tensor of that shape as picks along one axis; nothing where it is none.
std::optional<Pick> along_one_axis(const StridedView& view, const Shape& source) {
  if (view.axes.size() != source.size()) return std::nullopt;
  const auto strides = strides_of(source);
  Pick pick{.axis = -1};
  for (size_t i = 0; i < source.size(); ++i) {
    if (view.extent(i) == source[i] && view.stride(i) == (source[i] == 1 ? 0 : strides[i]))
      continue;
    if (pick.axis >= 0) return std::nullopt;
    pick.axis = int64_t(i);
  }
  if (pick.axis < 0) return std::nullopt;
  const auto axis = size_t(pick.axis);
  for (const auto& factor : view.axes[axis])
    if (factor.stride == 0) return std::nullopt;  // broadcast, not picked
  for (int64_t offset : offsets_of(view.axes[axis])) {
    offset += view.offset;
    if (offset % strides[axis] != 0 || offset / strides[axis] >= source[axis]) return std::nullopt;
    pick.indices.push_back(offset / strides[axis]);
  }
  return pick;
}

/// `value` as picks from the nearest value that it can be picked from, a transposition between.
std::optional<Pick> pick_of(const Graph& g, ValueId value) {
  struct Move {
    NodeId node;
    size_t result;
  };
  std::vector<Move> moves;  // the last one first
  bool transposes = false;
  for (ValueId at = value;;) {
    const NodeId maker = g.value(at).producer;
    if (maker == kNoNode || !bind::is_view(g, maker)) return std::nullopt;
    const Node& n = g.node(maker);
    moves.push_back({maker, size_t(std::ranges::find(n.outputs, at) - n.outputs.begin())});
    transposes = transposes || n.room->full_name() == "Transpose";
    at = n.inputs[0];
    if (!is_static_tensor(g, at)) return std::nullopt;
    if (!transposes) continue;
    const Shape source = g.value(at).tensor().shape();
    std::optional<StridedView> view = StridedView::of(source);
    for (auto move = moves.rbegin(); move != moves.rend() && view; ++move)
      view = bind::viewed(g, move->node, move->result, *view);
    if (!view) continue;
    if (auto pick = along_one_axis(*view, source)) {
      pick->value = value;
      pick->source = at;
      return pick;
    }
  }
}

/// What stands for it: a slice of neighbours, which others see through, else a Gather.
ValueId written(Builder& b, const Pick& pick) {
  const auto far = [](int64_t i, int64_t next) { return next != i + 1; };
  if (std::ranges::adjacent_find(pick.indices, far) == pick.indices.end())
    return b.one("Slice", {pick.source, b.ints({pick.indices.front()}),
                           b.ints({pick.indices.back() + 1}), b.ints({pick.axis})});
  return b.one("Gather", {pick.source, b.ints(pick.indices)}, {{"axis", pick.axis}});
}

/// Everything that is made of `value` by moves alone and read by something else, as picks.
bool collect(const Graph& g, const Users& users, ValueId value, std::vector<Pick>& picks) {
  bool read = std::ranges::find(g.outputs(), value) != g.outputs().end();
  for (const NodeId reader : users[size_t(value)]) {
    const Node& n = g.node(reader);
    if (!bind::is_view(g, reader) || n.inputs[0] != value) {
      read = true;
      continue;
    }
    for (const ValueId result : n.outputs)
      if (result != kNoValue && !collect(g, users, result, picks)) return false;
  }
  if (!read) return true;
  auto pick = pick_of(g, value);
  if (pick) picks.push_back(std::move(*pick));
  return pick.has_value();
}

}  // namespace

int fold_picks(Graph& graph) {
  int folded = 0;
  const Users users = graph.users();
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (graph.node(id).room->full_name() != "Transpose") continue;
    std::vector<Pick> picks;
    if (!collect(graph, users, graph.node(id).outputs[0], picks)) continue;
    for (const Pick& pick : picks) {
      if (graph.value(pick.value).producer == kNoNode) continue;
      Patch patch(graph);
      patch.shunt(pick.value, written(patch.builder(), pick));
      patch.apply();
      ++folded;
    }
  }
  if (folded > 0) graph.erase_dead();
  return folded;
}

}  // namespace espalier::passes

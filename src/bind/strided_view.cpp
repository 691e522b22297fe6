#include "bind/strided_view.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "bind/attribute_reader.h"
#include "ir/builder.h"
#include "ir/room.h"

namespace espalier::bind {
namespace {

using Factor = StridedView::Factor;
using Factors = std::vector<Factor>;

bool named(const Graph& g, NodeId id, std::initializer_list<const char*> names) {
  const OpName& op = g.node(id).room->op;
  return op.domain.empty() &&
         std::ranges::any_of(names, [&](const char* n) { return op.name == n; });
}

bool regroups(const Graph& g, NodeId id) {
  return named(g, id, {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"});
}

const Type& type_of(const Graph& g, ValueId v) { return g.value(v).type; }

/// Adds a factor inside the others; where it continues the last one, both are one.
void append(Factors& axis, Factor f) {
  if (f.extent == 1) return;
  if (!axis.empty() && axis.back().stride == f.stride * f.extent)
    axis.back() = {axis.back().extent * f.extent, f.stride};
  else
    axis.push_back(f);
}

std::optional<StridedView> regrouped(const StridedView& x, const Shape& shape) {
  Factors rest;
  for (const Factors& axis : x.axes) rest.insert(rest.end(), axis.begin(), axis.end());
  std::ranges::reverse(rest);  // the outermost last
  StridedView y{x.offset, {}};
  for (int64_t extent : shape) {
    Factors axis;
    while (extent > 1) {
      if (rest.empty()) return std::nullopt;
      const Factor f = rest.back();
      rest.pop_back();
      if (extent % f.extent == 0) {
        append(axis, f);
        extent /= f.extent;
      } else if (f.extent % extent == 0) {
        const int64_t inner = f.extent / extent;
        append(axis, {extent, f.stride * inner});
        rest.push_back({inner, f.stride});
        extent = 1;
      } else {
        return std::nullopt;
      }
    }
    y.axes.push_back(std::move(axis));
  }
  return rest.empty() ? std::optional(std::move(y)) : std::nullopt;
}

std::vector<int64_t> permutation_of(const Graph& g, NodeId id, size_t rank) {
  const Node& n = g.node(id);
  auto perm = AttributeReader(*n.room, n.attrs).list("perm", 0, 0);
  if (perm.empty()) {
    perm.resize(rank);
    std::iota(perm.rbegin(), perm.rend(), int64_t{0});
  }
  return perm;
}

std::optional<std::vector<int64_t>> constant_ints(const Graph& g, const Node& n, size_t slot) {
  if (slot >= n.inputs.size() || !g.is_constant(n.inputs[slot])) return std::nullopt;
  const Tensor& t = *g.value(n.inputs[slot]).constant;
  std::vector<int64_t> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(t.int_at(i));
  return v;
}

/// Moves the view to `first` along an axis and leaves `extent` of it; of an axis with several
/// factors both must be whole runs of all but the outermost.
bool cut(StridedView& x, size_t axis, int64_t first, int64_t extent) {
  const Factors before = std::exchange(x.axes[axis], {});
  if (before.empty()) return true;
  int64_t inner = 1;
  for (size_t i = 1; i < before.size(); ++i) inner *= before[i].extent;
  if (first % inner != 0 || extent % inner != 0) return false;
  x.offset += first / inner * before[0].stride;
  append(x.axes[axis], {extent / inner, before[0].stride});
  for (size_t i = 1; i < before.size(); ++i) append(x.axes[axis], before[i]);
  return true;
}

std::optional<StridedView> part_of_split(const Graph& g, NodeId id, size_t result, StridedView x) {
  const Node& n = g.node(id);
  const auto axis = size_t(normal_axis(AttributeReader(*n.room, n.attrs).integer("axis", 0),
                                       int64_t(x.axes.size()), "Split"));
  const Types parts = types_out(g, id);
  int64_t first = 0, extent = 0;
  for (size_t i = 0; i <= result; ++i) {
    first += extent;
    if (!parts[i].is_static()) return std::nullopt;
    extent = parts[i].tensor().dims[axis].value();
  }
  return cut(x, axis, first, extent) ? std::optional(std::move(x)) : std::nullopt;
}

std::optional<StridedView> slice(const Graph& g, NodeId id, StridedView x) {
  const Node& n = g.node(id);
  const auto starts = constant_ints(g, n, 1), axes = constant_ints(g, n, 3);
  if (!starts || !axes) return std::nullopt;
  if (n.inputs.size() > 4 && n.inputs[4] != kNoValue) {
    const auto steps = constant_ints(g, n, 4);
    if (!steps || std::ranges::any_of(*steps, [](int64_t s) { return s != 1; }))
      return std::nullopt;
  }
  for (size_t i = 0; i < axes->size(); ++i) {
    const auto axis = size_t(normal_axis((*axes)[i], int64_t(x.axes.size()), "Slice"));
    const int64_t whole = x.extent(axis);
    const int64_t first = (*starts)[i] < 0 ? (*starts)[i] + whole : (*starts)[i];
    if (!cut(x, axis, std::clamp<int64_t>(first, 0, whole),
             type_of(g, n.outputs[0]).tensor().dims[axis].value()))
      return std::nullopt;
  }
  return x;
}

/// Gather of one index known at compile time: an axis less.
std::optional<StridedView> picked(const Graph& g, NodeId id, StridedView x) {
  const Node& n = g.node(id);
  const auto index = constant_ints(g, n, 1);
  if (!index || g.value(n.inputs[1]).constant->rank() != 0) return std::nullopt;
  const auto axis = size_t(normal_axis(AttributeReader(*n.room, n.attrs).integer("axis", 0),
                                       int64_t(x.axes.size()), "Gather"));
  const int64_t at = (*index)[0] < 0 ? (*index)[0] + x.extent(axis) : (*index)[0];
  if (!cut(x, axis, at, 1)) return std::nullopt;
  x.axes.erase(x.axes.begin() + int64_t(axis));
  return x;
}

std::optional<StridedView> expanded(const StridedView& x, const Shape& shape) {
  if (shape.size() < x.axes.size()) return std::nullopt;
  StridedView y{x.offset, std::vector<Factors>(shape.size() - x.axes.size())};
  y.axes.insert(y.axes.end(), x.axes.begin(), x.axes.end());
  for (size_t i = 0; i < shape.size(); ++i)
    if (y.extent(i) == 1) append(y.axes[i], {shape[i], 0});
  return y;
}

}  // namespace

StridedView StridedView::of(const Shape& shape) {
  const auto strides = strides_of(shape);
  StridedView v;
  for (size_t i = 0; i < shape.size(); ++i) {
    v.axes.emplace_back();
    append(v.axes.back(), {shape[i], strides[i]});
  }
  return v;
}

int64_t StridedView::extent(size_t axis) const {
  int64_t n = 1;
  for (const Factor& f : axes[axis]) n *= f.extent;
  return n;
}

std::optional<int64_t> StridedView::stride(size_t axis) const {
  if (axes[axis].size() > 1) return std::nullopt;
  return axes[axis].empty() ? 0 : axes[axis][0].stride;
}

bool moves_all(const Graph& g, NodeId id) { return regroups(g, id) || named(g, id, {"Transpose"}); }

bool swaps_last_axes(const Graph& g, NodeId id) {
  const Type* type = id == kNoNode ? nullptr : &type_of(g, g.node(id).inputs[0]);
  if (!type || !named(g, id, {"Transpose"}) || !type->is_tensor() || type->tensor().rank() < 2)
    return false;
  std::vector<int64_t> perm = permutation_of(g, id, size_t(type->tensor().rank()));
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return std::ranges::is_sorted(perm);
}

bool is_view(const Graph& g, NodeId id) {
  return moves_all(g, id) || named(g, id, {"Split", "Slice", "Gather", "Expand"});
}

std::optional<StridedView> viewed(const Graph& g, NodeId id, size_t result, const StridedView& x) {
  const Node& n = g.node(id);
  const Type& type = type_of(g, n.outputs[result]);
  if (!is_view(g, id) || !type.is_static()) return std::nullopt;
  if (regroups(g, id)) return regrouped(x, type.tensor().shape());
  if (named(g, id, {"Split"})) return part_of_split(g, id, result, x);
  if (named(g, id, {"Slice"})) return slice(g, id, x);
  if (named(g, id, {"Gather"})) return picked(g, id, x);
  if (named(g, id, {"Expand"})) return expanded(x, type.tensor().shape());
  StridedView y{x.offset, {}};
  for (int64_t from : permutation_of(g, id, x.axes.size())) y.axes.push_back(x.axes[size_t(from)]);
  return y;
}

std::optional<StridedView> viewed_back(const Graph& g, NodeId id, const StridedView& y) {
  const Type& type = type_of(g, g.node(id).inputs[0]);
  if (!type.is_static()) return std::nullopt;
  if (regroups(g, id)) return regrouped(y, type.tensor().shape());
  if (!named(g, id, {"Transpose"})) return std::nullopt;
  StridedView x{y.offset, std::vector<Factors>(y.axes.size())};
  const auto perm = permutation_of(g, id, y.axes.size());
  for (size_t i = 0; i < perm.size(); ++i) x.axes[size_t(perm[i])] = y.axes[i];
  return x;
}

std::optional<CommonAxes> common_axes(std::span<const std::vector<Factors>> views) {
  CommonAxes c{{}, std::vector<std::vector<int64_t>>(views.size())};
  const size_t axes = views.empty() ? 0 : views[0].size();
  for (size_t axis = axes; axis-- > 0;) {
    std::vector<Factors> rest;
    for (const auto& view : views) rest.push_back(view[axis]);
    while (std::ranges::any_of(rest, [](const Factors& f) { return !f.empty(); })) {
      if (std::ranges::any_of(rest, [](const Factors& f) { return f.empty(); }))
        return std::nullopt;  // their extents differ
      int64_t extent = rest[0].back().extent;
      for (const Factors& f : rest) extent = std::min(extent, f.back().extent);
      for (size_t i = 0; i < rest.size(); ++i) {
        Factor& inner = rest[i].back();
        if (inner.extent % extent != 0) return std::nullopt;
        c.strides[i].insert(c.strides[i].begin(), inner.stride);
        inner = {inner.extent / extent, inner.stride * extent};
        if (inner.extent == 1) rest[i].pop_back();
      }
      c.extents.insert(c.extents.begin(), extent);
    }
  }
  return c;
}

}  // namespace espalier::bind

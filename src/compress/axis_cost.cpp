// What classes and cuts add up to.
#include <algorithm>
#include <map>
#include <numeric>

#include "compress/axis_classes.h"

namespace espalier {

std::string AxisClass::obstacle() const {
  if (reads_whole) return whole_reader + " reads all of it at once";
  if (!zero_passes && !weighed) return "zero does not pass " + zero_breaker;
  return "";
}

int32_t AxisClasses::flat(size_t cls, size_t group) const {
  size_t n = group;
  for (size_t c = 0; c < cls; ++c) n += classes[c].groups.size();
  return int32_t(n);
}

size_t AxisClasses::group_count() const {
  size_t n = 0;
  for (const AxisClass& c : classes) n += c.groups.size();
  return n;
}

Keep Keep::all(const AxisClasses& classes) {
  Keep keep;
  for (const AxisClass& c : classes.classes) keep.groups.emplace_back(c.groups.size(), true);
  return keep;
}

size_t Keep::kept(size_t cls) const {
  return size_t(std::count(groups[cls].begin(), groups[cls].end(), true));
}

std::vector<bool> Keep::flat() const {
  std::vector<bool> all;
  for (const auto& c : groups) all.insert(all.end(), c.begin(), c.end());
  return all;
}

double macs_of_cut(const AxisClasses& classes, std::span<const size_t> kept) {
  std::vector<double> macs = classes.node_macs;
  for (const NodeTie& t : classes.ties) {
    double left = double(t.tie.count);
    for (const auto& [cls, indices] : t.members)
      left -= double(classes.classes[cls].groups.size() - kept[cls]) * double(indices);
    macs[size_t(t.node)] *= left / double(t.tie.count);
  }
  return std::accumulate(macs.begin(), macs.end(), 0.0);
}

CutCost cost_of_cut(const AxisClasses& classes, const Keep& keep) {
  const Graph& g = classes.graph;
  std::vector<size_t> kept;
  for (size_t c = 0; c < classes.classes.size(); ++c) kept.push_back(keep.kept(c));
  CutCost cost;
  cost.macs = macs_of_cut(classes, kept);
  std::map<std::pair<ValueId, int>, int64_t> cut;
  for (size_t c = 0; c < classes.classes.size(); ++c)
    for (size_t i = 0; i < classes.classes[c].groups.size(); ++i)
      if (!keep(c, i))
        for (const AxisSlice& s : classes.classes[c].groups[i].slices)
          if (g.is_constant(s.value)) cut[{s.value, s.axis}] += int64_t(s.positions.size());
  for (ValueId v : g.constants()) {
    if (g.value(v).role != Role::kParameter) continue;
    double n = double(g.value(v).constant->size());
    const Shape& shape = g.value(v).constant->shape();
    for (size_t axis = 0; axis < shape.size(); ++axis)
      if (const auto it = cut.find({v, int(axis)}); it != cut.end())
        n *= double(shape[axis] - it->second) / double(shape[axis]);
    cost.params += n;
  }
  return cost;
}

}  // namespace espalier

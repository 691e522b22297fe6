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

double params_of_cut(const AxisClasses& classes, std::span<const size_t> kept) {
  const Graph& g = classes.graph;
  std::map<std::pair<ValueId, int>, double> cut;  // positions that go from a constant's axis
  for (size_t c = 0; c < classes.classes.size(); ++c) {
    const auto& groups = classes.classes[c].groups;
    if (groups.size() == kept[c]) continue;
    for (const AxisSlice& s : groups[0].slices)
      if (g.is_constant(s.value))
        cut[{s.value, s.axis}] += double(groups.size() - kept[c]) * double(s.positions.size());
  }
  double params = 0;
  for (ValueId v : g.constants()) {
    if (g.value(v).role != Role::kParameter) continue;
    double n = double(g.value(v).constant->size());
    const Shape& shape = g.value(v).constant->shape();
    for (size_t axis = 0; axis < shape.size(); ++axis)
      if (const auto it = cut.find({v, int(axis)}); it != cut.end())
        n *= 1 - it->second / double(shape[axis]);
    params += n;
  }
  return params;
}

CutCost cost_of_cut(const AxisClasses& classes, const Keep& keep) {
  std::vector<size_t> kept;
  for (size_t c = 0; c < classes.classes.size(); ++c) kept.push_back(keep.kept(c));
  return {macs_of_cut(classes, kept), params_of_cut(classes, kept)};
}

}  // namespace espalier

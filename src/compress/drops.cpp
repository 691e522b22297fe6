#include "compress/drops.h"

#include <algorithm>

#include "compress/restrict.h"

namespace espalier {

Drops dropped(const AxisClasses& classes, const Keep& keep) {
  Drops drops;
  for (size_t c = 0; c < classes.classes.size(); ++c)
    for (size_t i = 0; i < classes.classes[c].groups.size(); ++i) {
      if (keep(c, i)) continue;
      for (const AxisSlice& s : classes.classes[c].groups[i].slices) {
        auto& flags = drops[s.value][s.axis];
        if (flags.empty())
          flags.resize(size_t(classes.graph.value(s.value).tensor().dims[size_t(s.axis)].value()));
        for (int64_t p : s.positions) flags[size_t(p)] = true;
      }
    }
  return drops;
}

std::vector<int64_t> positions(const std::vector<bool>& flags, bool value) {
  std::vector<int64_t> at;
  for (size_t i = 0; i < flags.size(); ++i)
    if (flags[i] == value) at.push_back(int64_t(i));
  return at;
}

Tensor cut(Tensor tensor, const AxisDrops& drops) {
  for (const auto& [axis, flags] : drops) tensor = take(tensor, axis, positions(flags, false));
  return tensor;
}

TensorType cut(TensorType type, const AxisDrops& drops) {
  for (const auto& [axis, flags] : drops) {
    Dim& d = type.dims[size_t(axis)];
    if (d.known()) d = Dim(d.value() - std::ranges::count(flags, true));
  }
  return type;
}

}  // namespace espalier

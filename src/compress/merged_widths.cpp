#include "compress/merged_widths.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <numeric>
#include <set>

#include "base/error.h"
#include "train/graph_part.h"

namespace espalier {
namespace {

/// A class along an axis of a constant.
struct Side {
  ValueId constant;
  int axis;
  size_t cls;
  auto operator<=>(const Side&) const = default;
};

bool has_result(const AxisTie& t) {
  return std::ranges::any_of(t.places, [](const AxisPlace& p) { return p.output; });
}

/// Which constants share out their weight, and which sums nobody does it for.
class Sides {
 public:
  Sides(const AxisClasses& classes, const std::vector<bool>& merge)
      : classes_(classes),
        g_(classes.graph),
        merge_(merge),
        users_(g_.users()),
        data_(values_behind(g_, g_.inputs())),
        ties_of_(g_.node_count()) {
    for (size_t t = 0; t < classes.ties.size(); ++t)
      ties_of_[size_t(classes.ties[t].node)].push_back(t);
    for (size_t c = 0; c < classes.classes.size(); ++c) {
      if (!merge[c]) continue;
      for (const AxisSlice& s : classes.classes[c].groups[0].slices)
        if (g_.is_constant(s.value)) follow({s.value, s.axis, c}, s.value, s.axis);
    }
    for (const auto& [tie, slots] : sums_)
      for (const auto& [slot, sides] : slots)
        for (const Side& s : sides)
          if (!copied_.contains(s)) shared_.insert(s);
    while (settle()) {
    }
  }

  bool shared(const Side& s) const { return shared_.contains(s); }

  /// Results that must be multiplied by `by`, once for each sum.
  std::map<std::string, double> factors(int64_t by) const {
    std::map<std::string, double> factors;
    for (size_t t = 0; t < classes_.ties.size(); ++t) {
      const NodeTie& tie = classes_.ties[t];
      if (!is_sum(tie.tie)) continue;
      std::set<bool> counted_more;
      for (int32_t flat : tie.group) counted_more.insert(flat >= 0 && !weighed(t, class_of(flat)));
      if (counted_more == std::set<bool>{false}) continue;
      if (counted_more.size() > 1)
        throw unsupported(describe(g_, tie.node),
                          "adds up merged and other slices, weighed by no constant");
      const std::string& name = g_.value(g_.node(tie.node).outputs[0]).name;
      factors.try_emplace(name, 1).first->second *= double(by);
    }
    return factors;
  }

 private:
  /// What is read as a whole otherwise (a mean, a maximum) is the same of copies.
  static bool is_sum(const AxisTie& t) { return !has_result(t) && !t.reads_whole; }

  size_t class_of(int32_t flat) const {
    size_t c = 0;
    for (auto left = size_t(flat); left >= classes_.classes[c].groups.size(); ++c)
      left -= classes_.classes[c].groups.size();
    return c;
  }

  /// Whether slices of the class count once in that sum.
  bool weighed(size_t tie, size_t cls) const {
    if (!merge_[cls]) return true;
    const auto slots = sums_.find(tie);
    if (slots == sums_.end()) return false;
    return std::ranges::any_of(slots->second, [&](const auto& slot) {
      return std::ranges::any_of(slot.second,
                                 [&](const Side& s) { return s.cls == cls && shared(s); });
    });
  }

  /// Looks where a constant's slices end up, through nodes that read constants alone.
  void follow(const Side& side, ValueId v, int axis) {
    const std::set<NodeId> readers(users_[size_t(v)].begin(), users_[size_t(v)].end());
    for (NodeId id : readers)
      for (size_t t : ties_of_[size_t(id)]) {
        const NodeTie& tie = classes_.ties[t];
        if (std::ranges::none_of(tie.members, [&](const auto& m) { return m.first == side.cls; }))
          continue;
        for (const AxisPlace& p : tie.tie.places)
          if (!p.output && g_.node(id).inputs[size_t(p.slot)] == v && p.axis == axis)
            note(side, id, t, p.slot);
      }
  }

  void note(const Side& side, NodeId id, size_t t, int slot) {
    const AxisTie& tie = classes_.ties[t].tie;
    if (is_sum(tie)) {
      sums_[t][slot].insert(side);
      return;
    }
    const Values& results = g_.node(id).outputs;
    const bool of_constants =
        std::ranges::none_of(results, [&](ValueId v) { return v != kNoValue && data_[size_t(v)]; });
    if (!has_result(tie) || !of_constants) {
      copied_.insert(side);
      return;
    }
    for (const AxisPlace& p : tie.places)
      if (p.output && results[size_t(p.slot)] != kNoValue)
        follow(side, results[size_t(p.slot)], p.axis);
  }

  /// In each sum one operand shares out, and that is one constant. True when that changed
  /// something.
  bool settle() {
    for (const auto& [tie, slots] : sums_) {
      std::map<size_t, std::vector<Side>> sharing;  // by class, in order of the operands
      for (const auto& [slot, sides] : slots)
        for (const Side& s : sides)
          if (shared(s)) sharing[s.cls].push_back(s);
      for (auto& [cls, sides] : sharing)
        if (sides.size() > 1) {
          shared_.erase(sides.front());
          return true;
        }
    }
    return false;
  }

  const AxisClasses& classes_;
  const Graph& g_;
  const std::vector<bool>& merge_;
  const std::vector<std::vector<NodeId>> users_;
  const std::vector<bool> data_;
  std::vector<std::vector<size_t>> ties_of_;              ///< by node
  std::map<size_t, std::map<int, std::set<Side>>> sums_;  ///< by tie, then operand
  std::set<Side> copied_, shared_;
};

/// Every position stays where it is.
MergedAxis unmerged(int axis, int64_t extent) {
  MergedAxis m;
  m.axis = axis;
  m.to.resize(size_t(extent));
  std::iota(m.to.begin(), m.to.end(), int64_t{0});
  m.shared.resize(size_t(extent), false);
  return m;
}

/// `to` names positions of the large tensor so far: they become places of the small one.
void close_up(MergedAxis& m) {
  std::vector<int64_t> place(m.to.size(), -1);
  int64_t next = 0;
  for (size_t p = 0; p < m.to.size(); ++p)
    if (m.to[p] == int64_t(p)) place[p] = next++;
  m.count.assign(size_t(next), 0);
  std::vector<bool> shared(size_t(next), false);
  for (size_t p = 0; p < m.to.size(); ++p) {
    m.to[p] = place[size_t(m.to[p])];
    ++m.count[size_t(m.to[p])];
    shared[size_t(m.to[p])] = m.shared[p];
  }
  m.shared = std::move(shared);
}

/// Copies elements along an axis from one extent to the other, times a factor.
template <class F>
Tensor moved(const Tensor& from, const MergedAxis& m, bool to_small, F factor) {
  const Tensor x = from.cast(DType::f32);
  const size_t large = m.to.size(), small = m.count.size();
  ESP_CHECK(size_t(x.shape()[size_t(m.axis)]) == (to_small ? large : small),
            "a tensor of another network");
  Shape shape = x.shape();
  shape[size_t(m.axis)] = int64_t(to_small ? small : large);
  Tensor y(DType::f32, shape);
  const auto outer = size_t(product(shape, 0, size_t(m.axis)));
  const auto inner = size_t(product(shape, size_t(m.axis) + 1, shape.size()));
  const float* in = x.data<float>();
  float* out = y.mutable_data<float>();
  for (size_t o = 0; o < outer; ++o)
    for (size_t p = 0; p < large; ++p) {
      const auto k = size_t(m.to[p]);
      const auto f = float(factor(k));
      const size_t at_large = (o * large + p) * inner, at_small = (o * small + k) * inner;
      for (size_t i = 0; i < inner; ++i) {
        if (to_small)
          out[at_small + i] += f * in[at_large + i];
        else
          out[at_large + i] = f * in[at_small + i];
      }
    }
  return y;
}

}  // namespace

Tensor merged(const Tensor& large, const MergedAxis& m, int degree) {
  return moved(large, m, true, [&](size_t k) {
    const auto n = double(m.count[k]);
    if (m.shared[k]) return degree == 0 ? 1 : 1 / n;
    return std::pow(n, degree - 1);
  });
}

Tensor spread(const Tensor& small, const MergedAxis& m, int degree) {
  return moved(small, m, false, [&](size_t k) {
    const auto n = double(m.count[k]);
    if (m.shared[k]) return degree == 0 ? 1 / n : 1;
    return std::pow(n, -degree);
  });
}

MergedWidths merged_widths(const AxisClasses& classes, const std::vector<bool>& merge, int64_t by) {
  ESP_CHECK(merge.size() == classes.classes.size(), "flags of other classes");
  const Sides sides(classes, merge);
  MergedWidths w;
  w.keep = Keep::all(classes);
  w.factors = sides.factors(by);
  for (size_t c = 0; c < merge.size(); ++c) {
    const std::vector<AxisGroup>& groups = classes.classes[c].groups;
    if (!merge[c]) continue;
    ESP_CHECK(groups.size() % size_t(by) == 0, "a class of another number of groups");
    for (size_t i = 0; i < groups.size(); ++i) {
      const size_t first = i - i % size_t(by);
      w.keep.groups[c][i] = i == first;
      for (size_t s = 0; s < groups[i].slices.size(); ++s) {
        const AxisSlice &own = groups[i].slices[s], &kept = groups[first].slices[s];
        const Value& v = classes.graph.value(own.value);
        if (!v.constant || !is_float(v.constant->dtype())) continue;
        auto& axes = w.constants[v.name];
        auto m = std::ranges::find(axes, own.axis, &MergedAxis::axis);
        if (m == axes.end())
          m = axes.insert(m, unmerged(own.axis, v.constant->shape()[size_t(own.axis)]));
        for (size_t p = 0; p < own.positions.size(); ++p) {
          m->to[size_t(own.positions[p])] = kept.positions[p];
          m->shared[size_t(own.positions[p])] = sides.shared({own.value, own.axis, c});
        }
      }
    }
  }
  for (auto& [name, axes] : w.constants)
    for (MergedAxis& m : axes) close_up(m);
  return w;
}

}  // namespace espalier

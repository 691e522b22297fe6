// Sets of axis positions, for deriving axis classes: union-find with pins.
#pragma once

#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// Every position along every axis of every tensor value, joined into sets; a set may be pinned for
/// a reason.
class Elements {
 public:
  explicit Elements(const Graph& g) : base_(g.value_count()) {
    for (size_t v = 0; v < g.value_count(); ++v) {
      const Value& value = g.value(ValueId(v));
      if (!value.type.is_tensor()) continue;
      for (const Dim& d : value.tensor().dims) {
        base_[v].push_back(count_);
        count_ += d.value();
      }
    }
    parent_.resize(size_t(count_));
    std::iota(parent_.begin(), parent_.end(), int64_t{0});
    reason_.resize(size_t(count_), -1);
  }

  int64_t size() const { return count_; }
  int64_t at(ValueId v, int axis, int64_t position) const {
    return base_[size_t(v)][size_t(axis)] + position;
  }
  int64_t root(int64_t e) const {
    while (parent_[size_t(e)] != e) e = parent_[size_t(e)] = parent_[size_t(parent_[size_t(e)])];
    return e;
  }
  void join(int64_t a, int64_t b) {
    a = root(a);
    b = root(b);
    if (a == b) return;
    if (b < a) std::swap(a, b);
    parent_[size_t(b)] = a;
    if (reason_[size_t(a)] < 0) reason_[size_t(a)] = reason_[size_t(b)];
  }
  void pin(int64_t e, const std::string& why) {
    int32_t& reason = reason_[size_t(root(e))];
    if (reason >= 0) return;
    if (reasons_.empty() || reasons_.back() != why) reasons_.push_back(why);
    reason = int32_t(reasons_.size()) - 1;
  }
  bool pinned(int64_t e) const { return reason_[size_t(root(e))] >= 0; }
  const std::string& reason(int64_t e) const { return reasons_[size_t(reason_[size_t(root(e))])]; }

 private:
  std::vector<std::vector<int64_t>> base_;
  int64_t count_ = 0;
  mutable std::vector<int64_t> parent_;
  std::vector<int32_t> reason_;
  std::vector<std::string> reasons_;
};

}  // namespace espalier

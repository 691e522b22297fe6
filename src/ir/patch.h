// A checked rewrite: new nodes are appended, old values are shunted to new ones of the same type,
// what nobody needs any more is removed. Passes change graphs through patches only.
#pragma once

#include <utility>
#include <vector>

#include "ir/builder.h"

namespace espalier {

class Patch {
 public:
  explicit Patch(Graph& graph) : builder_(graph) {}
  /// Where to append the replacement's nodes.
  Builder& builder() { return builder_; }
  /// Readers of `from` shall read `to`, which takes over its name where that is free.
  void shunt(ValueId from, ValueId to) { shunts_.emplace_back(from, to); }
  /// Applies all shunts and restores the order. InternalError if a replacement's type says less
  /// than, or other than, the original's. Dead nodes stay until erase_dead().
  void apply();

 private:
  Builder builder_;
  std::vector<std::pair<ValueId, ValueId>> shunts_;
};

}  // namespace espalier

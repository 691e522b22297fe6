#include "tests/compress/cuts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "tests/support/networks.h"

namespace espalier::testing {

Keep random_keep(const AxisClasses& classes, uint64_t seed, double share) {
  Keep keep = Keep::all(classes);
  const Rng rng(seed, stream_of("random_keep"));
  uint64_t draw = 0;
  for (auto& c : keep.groups) {
    for (size_t i = 0; i < c.size(); ++i) c[i] = rng.uniform(draw++) < share;
    c[rng.below(draw++, c.size())] = true;
  }
  return keep;
}

Graph expect_cut_equals_masked(const Graph& graph, const AxisClasses& classes, const Keep& keep) {
  const Graph pruned = restrict(graph, classes, keep);
  const Graph twin = masked(classes, keep);
  const auto x = random_inputs(graph, 1, 3);
  const auto cut = interpret(pruned, x), full = interpret(twin, x);
  EXPECT_EQ(cut.size(), full.size());
  for (size_t i = 0; i < cut.size(); ++i) EXPECT_EQ(largest_difference(cut[i], full[i]), 0);
  EXPECT_NO_THROW(interpret(pruned, random_inputs(graph, 3, 4)));

  std::vector<Shape> shapes;
  for (const Tensor& t : x) shapes.push_back(t.shape());
  const CutCost predicted = cost_of_cut(classes, keep);
  EXPECT_NEAR(predicted.macs, cost_of(specialised(pruned, shapes)).macs, 0.5);
  double params = 0;
  for (ValueId v : pruned.constants())
    if (pruned.value(v).role == Role::kParameter)
      params += double(pruned.value(v).constant->size());
  EXPECT_NEAR(predicted.params, params, 0.5);
  return pruned;
}

}  // namespace espalier::testing

// Pools of largest elements through compile(): our own loops run them, with the interpreter's bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/network.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::kernels_of;
using testing::Network;

using Numbers = std::vector<int64_t>;

/// MaxPool of `x` alone; the program's kernels.
std::string pooled(const Shape& x, const AttributeMap& attributes) {
  Network n;
  n.g.add_output(n.b.one("MaxPool", {n.input(x)}, attributes));
  return kernels_of(*n.check(0, 0, {.strict = true}));
}

TEST(MaxPool, WindowsStridesPaddingAndDilation) {
  const Numbers three = {3, 3}, two = {2, 2};
  const AttributeMap forms[] = {
      {{"kernel_shape", two}},
      {{"kernel_shape", three}, {"strides", two}, {"pads", Numbers{1, 1, 1, 1}}},
      {{"kernel_shape", three}, {"strides", two}, {"ceil_mode", int64_t{1}}},
      {{"kernel_shape", three}, {"dilations", Numbers{2, 3}}, {"pads", Numbers{2, 3, 1, 0}}},
      {{"kernel_shape", Numbers{5, 1}}, {"auto_pad", std::string("SAME_UPPER")}},
      {{"kernel_shape", Numbers{9, 11}}},
  };
  // Less than a vector of channels, one and a half, several and a rest.
  for (const int64_t channels : {1, 3, 8, 12, 24, 67})
    for (const auto& form : forms)
      EXPECT_THAT(pooled({2, channels, 9, 11}, form), HasSubstr("max_pool"));
}

TEST(MaxPool, ABatchAcrossThreads) {
  EXPECT_THAT(pooled({8, 20, 33, 40}, {{"kernel_shape", Numbers{3, 3}},
                                       {"strides", Numbers{2, 2}},
                                       {"pads", Numbers{1, 1, 0, 0}}}),
              HasSubstr("max_pool"));
}

}  // namespace
}  // namespace espalier

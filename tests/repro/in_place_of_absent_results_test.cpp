// A training BatchNormalization whose running statistics nobody asked for has one result; its
// kernel names three that may take an operand's place, and two of these were read behind the list's
// end.
#include <gtest/gtest.h>

#include "bind/kernel.h"
#include "runtime/program_impl.h"

namespace espalier {
namespace {

class Nothing : public Kernel {
  std::unique_ptr<Launch> launch() const override { return nullptr; }
};

TEST(InPlaceOfAbsentResults, OnlyPairsTheNodeHasAreShared) {
  const auto kernel = std::make_shared<Nothing>();
  kernel->in_place = {{1, 3}, {2, 4}, {0, 0}, {0, 5}};
  Instruction ins;
  ins.kernel = kernel;
  ins.operands = {10, 11, 12, 13, kNoBuffer};
  ins.results = {20};
  using Pairs = std::vector<std::pair<int, int>>;
  EXPECT_EQ(in_place_buffers(ins), (Pairs{{20, 10}}));
  ins.results = {20, 21, 22};
  EXPECT_EQ(in_place_buffers(ins), (Pairs{{21, 13}, {20, 10}}));
  ins.results = {kNoBuffer, 21};
  EXPECT_EQ(in_place_buffers(ins), (Pairs{{21, 13}}));
}

}  // namespace
}  // namespace espalier

// Shuffles of channels between convolutions, as exporters write them: one Gather for each half,
// where convolutions have put the channels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/network.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::kernels_of;
using testing::Network;
using ::testing::Not;

constexpr int64_t kSize = 6;

/// Even and odd channels of x, as ShuffleNetV2's own code takes them.
std::pair<ValueId, ValueId> halves_by_index(Network& n, ValueId x) {
  const Shape s = n.b.type(x).shape();
  const int64_t half = s[1] / 2;
  const ValueId pairs = n.b.reshape(x, {s[0] * half, 2, kSize * kSize});
  const ValueId groups =
      n.b.reshape(n.b.transpose(pairs, {1, 0, 2}), {2, s[0], half, kSize, kSize});
  const auto part = [&](int64_t i) {
    return n.b.one("Gather", {groups, n.b.constant(Tensor::scalar(i))}, {{"axis", int64_t{0}}});
  };
  return {part(0), part(1)};
}

/// Two groups of channels shuffled and then split, as torchvision does.
std::pair<ValueId, ValueId> halves_by_split(Network& n, ValueId x) {
  const Shape s = n.b.type(x).shape();
  const ValueId groups = n.b.reshape(x, {s[0], 2, s[1] / 2, kSize, kSize});
  const ValueId back =
      n.b.reshape(n.b.transpose(groups, {0, 2, 1, 3, 4}), {s[0], s[1], kSize, kSize});
  const Values parts = n.b.op("Split", {back, n.b.ints({s[1] / 2, s[1] / 2})},
                              {{"axis", int64_t{1}}}, "", {"left", "right"});
  return {parts[0], parts[1]};
}

/// Halves of a convolution's result, one convolved again, side by side, and another convolution.
template <class Halves>
Network shuffled(int64_t channels, const Halves& halves) {
  Network n;
  const ValueId x = n.conv(n.input({2, 3, kSize, kSize}), channels, 3);
  const auto [stays, goes] = halves(n, x);
  const ValueId joined =
      n.b.one("Concat", {stays, n.conv(goes, channels / 2, 1)}, {{"axis", int64_t{1}}});
  n.g.add_output(n.conv(joined, 8, 1));
  return n;
}

TEST(Shuffle, HalvesArePickedWhereTheChannelsAre) {
  for (const int64_t channels : {8, 32, 48, 116})
    for (const auto& halves : {halves_by_index, halves_by_split}) {
      Network n = shuffled(channels, halves);
      const std::string kernels = kernels_of(*n.check(1e-4, 1e-4));
      EXPECT_THAT(kernels, HasSubstr("lane picks; ")) << channels;
      EXPECT_THAT(kernels, Not(HasSubstr("transpose"))) << channels;
    }
}

// A shuffle that is read whole, by two.
TEST(Shuffle, AShuffleReadWholeIsOnePick) {
  Network n;
  const ValueId x = n.conv(n.input({1, 3, kSize, kSize}), 32, 3);
  const ValueId groups = n.b.reshape(x, {1, 4, 8, kSize, kSize});
  const ValueId y = n.b.reshape(n.b.transpose(groups, {0, 2, 1, 3, 4}), {1, 32, kSize, kSize});
  n.g.add_output(n.conv(y, 16, 1));
  n.g.add_output(n.conv(y, 8, 3));
  const std::string kernels = kernels_of(*n.check(1e-4, 1e-4));
  EXPECT_THAT(kernels, HasSubstr("lane picks; "));
  EXPECT_THAT(kernels, Not(HasSubstr("transpose")));
}

}  // namespace
}  // namespace espalier

// The spaces of tiles: small and legal, following from the device.
#include "kernels/jit/space.h"

#include <gtest/gtest.h>

#include <set>

#include "kernels/jit/micro_kernel.h"

namespace espalier::kernels {
namespace {

GemmProblem product(int64_t m, int64_t n, int64_t k) {
  GemmProblem p;
  p.m = m;
  p.n = n;
  p.k = k;
  p.a_stride = k;
  return p;
}

const GemmDevice kDevice{.l1_bytes = 48 << 10, .l2_bytes = 1 << 20, .l1_ways = 12};

TEST(DeviceSpace, HoldsDozensOfLegalTilesOnce) {
  for (const auto& p : {product(128, 256, 256), product(128, 1024, 256), product(128, 256, 1024),
                        product(1, 1000, 192), product(197, 192, 768), product(3, 5, 7),
                        product(4096, 4096, 4096), product(1, 1, 1)})
    for (const int threads : {1, 2}) {
      const auto space = device_space(p, kDevice, threads);
      EXPECT_GE(space.size(), 1u) << p.text();
      EXPECT_LE(space.size(), threads == 1 ? 60u : 120u) << p.text();
      for (const GemmTile& t : space) EXPECT_TRUE(legal(t)) << p.text() << ": " << t.text();
      EXPECT_EQ(std::set<GemmTile>(space.begin(), space.end()).size(), space.size()) << p.text();
    }
}

TEST(WholeSpace, IsTenTimesLargerAndLegal) {
  for (const auto& p : {product(128, 256, 256), product(128, 256, 1024)}) {
    const auto whole = whole_space(p, kDevice, 1), small = device_space(p, kDevice, 1);
    EXPECT_GE(whole.size(), 10 * small.size());
    for (const GemmTile& t : whole) EXPECT_TRUE(legal(t)) << t.text();
    EXPECT_EQ(std::set<GemmTile>(whole.begin(), whole.end()).size(), whole.size());
  }
}

TEST(DeviceSpace, FollowsTheCaches) {
  const auto p = product(512, 512, 4096);
  const auto blocked = [&](const GemmDevice& d) {
    for (const GemmTile& t : device_space(p, d, 1))
      if (t.k_block > 0 && t.k_block * t.vectors * kGemmLanes * 4 > d.l1_bytes / 2) return false;
    return true;
  };
  GemmDevice small = kDevice;
  small.l1_bytes = 16 << 10;
  EXPECT_TRUE(blocked(kDevice));
  EXPECT_TRUE(blocked(small));
  EXPECT_NE(device_space(p, kDevice, 1), device_space(p, small, 1));
}

TEST(DeviceSpace, ThreadsBringWaysOfSharing) {
  const auto p = product(128, 256, 256);
  for (const GemmTile& t : device_space(p, kDevice, 1)) EXPECT_FALSE(t.split_rows);
  bool rows = false, columns = false;
  for (const GemmTile& t : device_space(p, kDevice, 2)) (t.split_rows ? rows : columns) = true;
  EXPECT_TRUE(rows && columns);
}

TEST(DeviceModel, PrefersTilesThatFitTheProblemAndKeepTheUnitsBusy) {
  const auto p = product(128, 256, 256);
  const auto cycles = [&](int rows, int vectors) {
    return modelled_cycles(p, {.rows = rows, .vectors = vectors}, kDevice);
  };
  EXPECT_LT(cycles(8, 2), cycles(2, 1));
  EXPECT_LT(cycles(8, 2), cycles(30, 1));
  // All there is to do: two multiply-adds of 16 lanes each cycle.
  EXPECT_GE(cycles(8, 2), p.macs() / 32);
  EXPECT_TRUE(legal(fixed_tile()));
}

}  // namespace
}  // namespace espalier::kernels

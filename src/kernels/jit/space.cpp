#include "kernels/jit/space.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "kernels/jit/micro_kernel.h"

namespace espalier::kernels {

namespace {

constexpr size_t kRegisterTiles = 8;   // of the small space
constexpr double kWorthTrying = 1.25;  // times the best modelled
constexpr int64_t kFloat = sizeof(float);
/// Sums that only just hide the latency leave the units idle at every miss: 4 rows of 16 columns
/// run at three quarters of what 6 do with AVX2.
constexpr double kSlack = 1.5;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// What a tile becomes on this problem: parts of equal size.
struct Extents {
  int64_t tiles, panels, rows, vectors;
};
Extents extents(const GemmProblem& p, const GemmTile& t) {
  const int64_t vectors = ceil_div(p.n, kGemmLanes);
  const int64_t tiles = ceil_div(p.m, t.rows), panels = ceil_div(vectors, t.vectors);
  return {tiles, panels, ceil_div(p.m, tiles), ceil_div(vectors, panels)};
}

long system_says(int name, long otherwise) {
  const long value = ::sysconf(name);
  return value > 0 ? value : otherwise;
}

/// Register tiles that cut this problem differently, each as the smallest that cuts it so.
std::vector<GemmTile> register_tiles(const GemmProblem& p) {
  std::set<std::pair<int64_t, int64_t>> seen;
  std::vector<GemmTile> tiles;
  for (int vectors = 1; tile_fits(1, vectors); ++vectors)
    for (int rows = 1; tile_fits(rows, vectors); ++rows) {
      GemmTile t;
      t.rows = rows;
      t.vectors = vectors;
      const Extents e = extents(p, t);
      if (!seen.insert({e.rows, e.vectors}).second) continue;
      t.rows = int(e.rows);
      t.vectors = int(e.vectors);
      tiles.push_back(t);
    }
  return tiles;
}

/// The steps of k whose rows of b fill half of the first cache; 0 where all do not.
int64_t cached_k(const GemmProblem& p, const GemmTile& t, const GemmDevice& d) {
  const int64_t steps = d.l1_bytes / 2 / (extents(p, t).vectors * kGemmLanes * kFloat) / 8 * 8;
  return steps >= p.k ? 0 : std::max<int64_t>(8, steps);
}

/// Rows of a at one k fall onto few sets of the first cache, and push each other out.
bool rows_collide(const GemmProblem& p, const GemmTile& t, const GemmDevice& d) {
  const int64_t way = d.l1_bytes / d.l1_ways, stride = p.a_stride * kFloat;
  int64_t apart = 1;  // rows until one falls onto the first one's set again
  while (apart < way / 64 && apart * stride % way >= 64) ++apart;
  return ceil_div(extents(p, t).rows, apart) > d.l1_ways / 2;
}

/// The tile and how else it may be run.
void add_variants(const GemmProblem& p, const GemmTile& tile, const GemmDevice& d, bool best,
                  std::vector<GemmTile>& to) {
  const int64_t rows_bytes = p.m * p.k * kFloat, columns_bytes = p.k * p.n * kFloat;
  std::vector<GemmTile> orders;
  for (const bool rows_outer : {false, true}) {
    // What is gone through again and again should stay in the second cache.
    const int64_t again = rows_outer ? columns_bytes : rows_bytes;
    const int64_t other = rows_outer ? rows_bytes : columns_bytes;
    if (again > d.l2_bytes && other <= d.l2_bytes) continue;
    GemmTile t = tile;
    t.rows_outer = rows_outer;
    if (again > d.l2_bytes) {
      const int64_t fits = std::max<int64_t>(1, d.l2_bytes / 2 / (p.k * kFloat));  // rows, columns
      if (rows_outer)
        t.column_block = std::max<int64_t>(1, fits / (tile.vectors * kGemmLanes));
      else
        t.row_block = std::max<int64_t>(1, fits / tile.rows);
    }
    orders.push_back(t);
  }
  for (const GemmTile& t : orders) {
    to.push_back(t);
    if (best || rows_collide(p, t, d)) {
      to.push_back(t);
      to.back().pack_a = true;
    }
    if (!best) continue;
    if (const int64_t k = cached_k(p, t, d); k > 0) {
      to.push_back(t);
      to.back().k_block = k;
    }
    if (columns_bytes > d.l2_bytes / 4) {
      to.push_back(t);
      to.back().prefetch = 8;
    }
  }
}

/// Each with both ways of sharing, where there is something to share.
std::vector<GemmTile> shared(std::vector<GemmTile> tiles, int threads) {
  if (threads == 1) return tiles;
  std::vector<GemmTile> all;
  for (const GemmTile& t : tiles)
    for (const bool rows : {false, true}) {
      all.push_back(t);
      all.back().split_rows = rows;
    }
  return all;
}

}  // namespace

GemmDevice gemm_device() {
  GemmDevice d;
  d.l1_bytes = system_says(_SC_LEVEL1_DCACHE_SIZE, d.l1_bytes);
  d.l1_ways = int(system_says(_SC_LEVEL1_DCACHE_ASSOC, d.l1_ways));
  d.l2_bytes = std::max<int64_t>(d.l1_bytes, system_says(_SC_LEVEL2_CACHE_SIZE, d.l2_bytes));
  d.registers_per_vector = vector_registers().per_vector();
  return d;
}

GemmTile fixed_tile() {
  if (vector_registers().per_vector() > 1) return {.rows = 6, .vectors = 1};
  return {.rows = 12, .vectors = 2};
}

std::optional<GemmTile> unmeasured_tile(const GemmProblem& problem, int threads) {
  const bool known_b = problem.b_stride == 0;
  if (vector_registers().per_vector() == 1 || !known_b || problem.convolution) return std::nullopt;
  return device_space(problem, gemm_device(), threads).front();
}

double modelled_cycles(const GemmProblem& p, const GemmTile& t, const GemmDevice& d) {
  const Extents e = extents(p, t);
  const int64_t across = e.vectors * d.registers_per_vector;
  const double sums = double(e.rows * across);
  const double loads = double(e.rows + across);
  const double step = std::max({sums / d.fma_per_cycle, loads / d.loads_per_cycle,
                                kSlack * d.fma_latency});  // each sum takes part once a step
  // Sums are cleared, finished and stored; the loop is entered and left.
  const double around = 3 * sums / d.loads_per_cycle + 20;
  return double(p.batch * e.tiles * e.panels) * (step * double(p.k) + around);
}

std::vector<GemmTile> device_space(const GemmProblem& p, const GemmDevice& d, int threads) {
  std::vector<GemmTile> tiles = register_tiles(p);
  const auto cycles = [&](const GemmTile& t) { return modelled_cycles(p, t, d); };
  std::stable_sort(tiles.begin(), tiles.end(),
                   [&](const GemmTile& a, const GemmTile& b) { return cycles(a) < cycles(b); });
  const double limit = kWorthTrying * cycles(tiles[0]);
  std::vector<GemmTile> space;
  for (size_t i = 0; i < tiles.size() && i < kRegisterTiles; ++i) {
    if (cycles(tiles[i]) > limit) break;
    add_variants(p, tiles[i], d, i < kRegisterTiles / 2, space);
  }
  return shared(space, threads);
}

std::vector<GemmTile> whole_space(const GemmProblem& p, const GemmDevice& d, int threads) {
  std::vector<GemmTile> space;
  for (const GemmTile& tile : register_tiles(p))
    for (const int unroll : {1, 2, 4, 8})
      for (const int prefetch : {0, 8})
        for (const bool halved : {false, true})
          for (const bool rows_outer : {false, true})
            for (const bool pack_a : {false, true}) {
              GemmTile t = tile;
              t.unroll = unroll;
              t.prefetch = prefetch;
              t.rows_outer = rows_outer;
              t.pack_a = pack_a;
              const int64_t in_cache = cached_k(p, t, d);
              t.k_block = !halved ? 0 : in_cache > 0 ? in_cache : ceil_div(p.k, 2);
              if (rows_outer && p.k * p.n * kFloat > d.l2_bytes)
                t.column_block = std::max<int64_t>(
                    1, d.l2_bytes / 2 / (p.k * kFloat) / (tile.vectors * kGemmLanes));
              space.push_back(t);
            }
  return shared(space, threads);
}

}  // namespace espalier::kernels

// The transforms of convolutions of 3x3 windows by products (kernels/winograd.h), for tiles of 4x4
// or 2x2 results. Images and windows are f32 or bf16 in memory; transforms compute in f32, and so
// do products of what they give at points, or in pairs of bf16.
#pragma once

#include <cstdint>

#include "kernels/jit/cut.h"
#include "tensor/dtype.h"

namespace espalier::kernels {

/// At how many points tiles of so many results along an axis are multiplied: the elements of the
/// patch of the source that they reach.
constexpr int64_t winograd_points(int64_t tile) { return (tile + 2) * (tile + 2); }

/// Windows of 3x3: tap t from source channel i to result channel o is data[t * tap_stride + i *
/// in_stride + o].
struct WinogradTaps {
  DType type = DType::f32;
  const void* data = nullptr;
  int64_t in = 0, out = 0;  ///< channels
  int64_t tap_stride = 0, in_stride = 0;
};

/// As what the numbers at points are kept.
enum class WinogradNumbers : uint8_t {
  kF32,
  kBf16,   ///< bf16 where f32 would be
  kPairs,  ///< of bf16, 32 bits each: those of two tiles, or of two source channels of a window
};

/// The windows of source channels [first, last) at the points of `tile`: for each point the panels
/// of `columns` (a cut of the result channels' vectors), each with its columns for one source
/// channel after the other, as f32; or for two of them after the other two, as pairs, where `first`
/// and `last` are even.
void winograd_windows(int64_t tile, const WinogradTaps& taps, const Cut& columns, int64_t first,
                      int64_t last, WinogradNumbers numbers, void* to);

/// Images, channels-last, as tiles see them.
struct WinogradImage {
  int64_t height = 0, width = 0, channels = 0;
  int64_t tile = 4;  ///< results along an axis: 4 or 2
  int64_t tiles_high = 0, tiles_wide = 0;
  DType type = DType::f32;
};

/// Where numbers at points lie: point p of channel c of the t-th tile (of pairs, of the t-th two
/// tiles) at p * plane + t * row + c / 16 * panel + c % 16.
struct WinogradLayout {
  int64_t plane = 0, row = 0, panel = 16;
  WinogradNumbers numbers = WinogradNumbers::kF32;
};

/// What happens to a result before it is stored.
struct WinogradEpilogue {
  const float* bias = nullptr;  ///< one per channel, or null
  float low = 0, high = 0;      ///< kept within, infinite where there is no bound
};

/// The patches of tiles [first, last), counted over all images, at all points; `to` is where tile
/// `first` goes. Patches begin `top` rows above and `left` columns left of their tile; outside the
/// image there are zeros. Channels that fill no vector are stored alone, but in pairs. Where these
/// are of tiles, the first of a pair is tile `first`, and the last one's missing half is zero.
void winograd_patches(const WinogradImage& image, int64_t top, int64_t left, const void* x,
                      int64_t first, int64_t last, void* to, const WinogradLayout& layout);

/// The results of tiles [first, last) from their products, in rows of whole vectors; `residual` (or
/// null) is added before the bounds and lies as y does.
void winograd_results(const WinogradImage& image, const WinogradEpilogue& epilogue,
                      const float* products, int64_t plane, int64_t first, int64_t last,
                      const void* residual, void* y);

/// The transposes of the results' and the windows' transforms, for gradients of windows. Tiles of
/// dy, zero outside the image, at all points:
void winograd_gradients(const WinogradImage& image, const void* dy, int64_t first, int64_t last,
                        void* to, const WinogradLayout& layout);
/// The windows of source channels [first, last) from sums over tiles, which for each point and
/// source channel hold `row` result channels, whole vectors: tap t goes to taps[(i * 9 + t) * row +
/// o].
void winograd_window_gradients(int64_t tile, const float* sums, int64_t in, int64_t row,
                               int64_t first, int64_t last, float* taps);

}  // namespace espalier::kernels

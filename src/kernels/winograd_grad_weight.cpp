// The gradient of a convolution with respect to its windows: the transpose of Winograd's algorithm,
// in which the products at each point are summed over all tiles.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/jit/cut.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/transpose.h"
#include "kernels/winograd.h"
#include "kernels/winograd_cost.h"
#include "kernels/winograd_transform.h"

namespace espalier::kernels {
namespace {

/// Patches and gradients of one block of tiles.
constexpr int64_t kBlockBytes = 1 << 20;
constexpr int64_t kFewestTiles = 32, kMostTiles = 256;

int64_t panels(int64_t channels) { return Cut::ceil_div(channels, kGemmLanes); }

class WinogradGradWeight final : public WinogradConv {
 public:
  WinogradGradWeight(const ConvGradSpec& g, int64_t tile)
      : points_(winograd_points(tile)),
        together_(winograd_in_pairs(g.type) ? 2 : 1),
        in_(panels(g.x[1])),
        out_(panels(g.y[1])),
        top_(g.geometry.pads_begin[0]),
        left_(g.geometry.pads_begin[1]) {
    const int64_t high = Cut::ceil_div(g.y[2], tile), wide = Cut::ceil_div(g.y[3], tile);
    x_ = {g.x[2], g.x[3], g.x[1], tile, high, wide, g.type};
    dy_ = {g.y[2], g.y[3], g.y[1], tile, high, wide, g.type};
    const int64_t a_tile = points_ * (in_ + out_) * kGemmLanes * int64_t(sizeof(float));
    // Sums that come from far are added to as seldom as can be.
    const bool far = sum_floats() * int64_t(sizeof(float)) > kWinogradFar;
    const int64_t fitting = far ? kMostTiles : kBlockBytes / a_tile;
    blocks_ = Cut::at_most(g.y[0] * high * wide, std::clamp(fitting, kFewestTiles, kMostTiles));
    // Panels of 16 channels of x, tile after tile; rows of all channels of dy. A line between
    // planes, and between long rows, keeps them apart in the cache.
    const int64_t steps = steps_of(blocks_.largest()), panel = steps * kGemmLanes;
    const auto numbers = together_ == 2 ? WinogradNumbers::kPairs : WinogradNumbers::kF32;
    const int64_t row = (out_ + (out_ % 16 == 0 ? 1 : 0)) * kGemmLanes;
    x_layout_ = {in_ * panel + kGemmLanes, kGemmLanes, panel, numbers};
    dy_layout_ = {steps * row + kGemmLanes, row, kGemmLanes, numbers};
    // Of 16 rows at once, half share a load of three vectors where there are registers for it.
    rows_ = Cut{kGemmLanes, 2};
    columns_ = Cut::at_most(out_, tile_fits(int(rows_.largest()), 3) ? 3 : 1);
    while (!tile_fits(int(rows_.largest()), 1)) ++rows_.parts;
    generate();
  }

  void run(const void* const* operands, void* dw, void* scratch) const override {
    auto* memory = static_cast<float*>(scratch);
    float *const x = memory, *const dy = x + points_ * x_layout_.plane;
    float *const sums = dy + points_ * dy_layout_.plane, *const taps = sums + sum_floats();
    constexpr int64_t kGrain = 4;
    for (int64_t b = 0; b < blocks_.parts; ++b) {
      const int64_t first = blocks_.begin(b), tiles = blocks_.size(b);
      parallel_for(steps_of(tiles), kGrain, [&](int64_t begin, int64_t end) {
        const int64_t from = first + begin * together_;
        const int64_t to = first + std::min(end * together_, tiles);
        winograd_patches(x_, top_, left_, operands[0], from, to, x + begin * x_layout_.row,
                         x_layout_);
        winograd_gradients(dy_, operands[1], from, to, dy + begin * dy_layout_.row, dy_layout_);
      });
      parallel_for(points_ * in_, 1, [&](int64_t begin, int64_t end) {
        for (int64_t unit = begin; unit < end; ++unit)
          add(unit / in_, unit % in_, x, dy, sums, tiles, b == 0);
      });
    }
    parallel_for(x_.channels, kGrain, [&](int64_t begin, int64_t end) {
      winograd_window_gradients(x_.tile, sums, in_ * kGemmLanes, out_ * kGemmLanes, begin, end,
                                taps);
    });
    lay_out(taps, static_cast<float*>(dw));
  }

  size_t scratch_bytes() const override {
    const int64_t floats = points_ * (x_layout_.plane + dy_layout_.plane) + sum_floats();
    return size_t(floats + 2 * tap_floats()) * sizeof(float);
  }
  size_t packed_bytes() const override { return 0; }

 private:
  void generate() {
    MicroKernelSpec m;
    m.bf16 = together_ == 2;
    m.packed_rows = m.last_lanes = kGemmLanes;
    m.unroll = 4;
    m.b_stride = dy_layout_.row;
    m.c_stride = out_ * kGemmLanes;
    for (int64_t part = 0; part < rows_.parts; ++part)
      for (int64_t c = 0; c < columns_.parts; ++c) {
        m.rows = int(rows_.size(part));
        m.vectors = int(columns_.size(c));
        kernels_.push_back(micro_kernel(m));
      }
  }

  /// What is summed over: tiles, or two of them.
  int64_t steps_of(int64_t tiles) const { return Cut::ceil_div(tiles, together_); }
  int64_t sum_floats() const { return points_ * in_ * out_ * kGemmLanes * kGemmLanes; }
  int64_t tap_floats() const { return 9 * x_.channels * out_ * kGemmLanes; }

  /// The products of a panel of source channels with all result channels. What padding holds goes
  /// into sums that nobody reads.
  void add(int64_t point, int64_t panel, const float* x, const float* dy, float* sums,
           int64_t tiles, bool first) const {
    MicroKernelArgs args;
    args.k = steps_of(tiles);
    args.first = first ? 1 : 0;
    const float* const a = x + point * x_layout_.plane + panel * x_layout_.panel;
    const int64_t row = out_ * kGemmLanes;
    for (int64_t c = 0; c < columns_.parts; ++c) {
      const int64_t column = columns_.begin(c) * kGemmLanes;
      args.b = dy + point * dy_layout_.plane + column;
      float* const to = sums + (point * in_ + panel) * kGemmLanes * row + column;
      for (int64_t part = 0; part < rows_.parts; ++part) {
        args.a = a + rows_.begin(part);
        args.c = to + rows_.begin(part) * row;
        (*kernels_[size_t(part * columns_.parts + c)])(args);
      }
    }
  }

  /// [source channel, tap, result channel] as [result channel, source channel, tap].
  void lay_out(float* taps, float* dw) const {
    const int64_t rows = 9 * x_.channels, columns = out_ * kGemmLanes;
    float* const whole = columns == dy_.channels ? dw : taps + tap_floats();
    transpose_matrices(taps, whole, 1, rows, columns, sizeof(float));
    if (whole != dw) std::memcpy(dw, whole, size_t(rows * dy_.channels) * sizeof(float));
  }

  int64_t points_;
  int64_t together_;  ///< tiles that are multiplied as a pair of bf16: 2, else 1
  int64_t in_, out_;  ///< of channels: panels
  int64_t top_, left_;
  WinogradImage x_, dy_;
  Cut blocks_;  ///< of tiles
  WinogradLayout x_layout_, dy_layout_;
  Cut rows_;     ///< of a panel of source channels: those of one kernel
  Cut columns_;  ///< of panels of result channels: those of one kernel
  std::vector<std::shared_ptr<const MicroKernel>> kernels_;  ///< by both
};

}  // namespace

int64_t winograd_weight_tile(const ConvGradSpec& g) {
  const double in = double(panels(g.x[1]) * kGemmLanes), out = double(panels(g.y[1]) * kGemmLanes);
  const auto cost = [&](int64_t tile) {
    const double points = double(winograd_points(tile));
    const double tiles = double(g.y[0] * Cut::ceil_div(g.y[2], tile) * Cut::ceil_div(g.y[3], tile));
    return points * tiles * (in * out / direct_rate(g.type) + kWinogradMoved * (in + out)) +
           kWinogradFetched * (points + 2 * 9) * in * out;
  };
  const double direct = 9 * in * out * double(g.y[0] * g.y[2] * g.y[3]) / direct_rate(g.type);
  return winograd_choice(cost(4), cost(2), direct);
}

std::shared_ptr<const WinogradConv> winograd_grad_weight(const ConvGradSpec& spec, int64_t tile) {
  ESP_CHECK(no_winograd(spec).empty() && (tile == 2 || tile == 4),
            "a gradient that Winograd's algorithm does not serve");
  return std::make_shared<const WinogradGradWeight>(spec, tile);
}

}  // namespace espalier::kernels

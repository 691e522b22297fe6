#include "kernels/winograd.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/jit/cut.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/packed_weights.h"
#include "kernels/simd.h"
#include "kernels/transpose.h"
#include "kernels/winograd_cost.h"
#include "kernels/winograd_transform.h"

namespace espalier::kernels {
namespace {

/// Patches and products of one block of tiles, which shall stay in the second cache.
constexpr int64_t kBlockBytes = 640 << 10;
/// Weights beyond do not stay in the last cache; patches at one point are then read with panel
/// after panel of them from the second.
constexpr int64_t kWinogradFar = 16 << 20, kPlaneBytes = 320 << 10;
/// Below so many multiply-accumulates a second thread costs more than it brings.
constexpr int64_t kLeastShared = 1 << 20;
/// Numbers of a weight that may be read by each thread anew.
constexpr int64_t kSmallWeight = 1 << 18;
/// Below, the products are too thin.
constexpr int64_t kFewestChannels = 8;
/// Between the planes of points, so that they do not all fall on the same lines of a cache.
constexpr int64_t kPad = 16;

bool all(const std::vector<int64_t>& v, int64_t value) {
  return std::all_of(v.begin(), v.end(), [&](int64_t x) { return x == value; });
}

/// Gradients stand being rounded at the points, by some 1 % of their size with tiles of 4x4; what
/// goes forward does not.
bool multiplied_in_pairs(const ConvSpec& s, bool gradient) {
  return gradient && winograd_in_pairs(s.x_type) && s.x[1] % 2 == 0;
}

class Winograd final : public WinogradConv {
 public:
  /// `turned`: the weight's channels are [source, result] and its windows are read backwards.
  Winograd(const ConvSpec& s, int64_t tile, bool turned)
      : points_(winograd_points(tile)),
        pairs_(multiplied_in_pairs(s, turned)),
        turned_(turned),
        x_operand_(s.x_operand),
        w_operand_(s.weight.operand),
        w_type_(s.weight.type),
        top_(s.geometry.pads_begin[0]),
        left_(s.geometry.pads_begin[1]),
        products_(busy_tile()) {
    const int64_t high = Cut::ceil_div(s.y[2], tile), wide = Cut::ceil_div(s.y[3], tile);
    result_ = {s.y[2], s.y[3], s.y[1], tile, high, wide, s.y_type};
    source_ = {s.x[2], s.x[3], s.x[1], tile, high, wide, s.x_type};
    tiles_ = s.y[0] * result_.tiles_high * result_.tiles_wide;
    columns_ = Cut::at_most(Cut::ceil_div(result_.channels, kGemmLanes), products_.vectors);
    workers_ = num_threads();
    take_epilogue(s);
    if (s.weight.constant) pack(s.weight.constant);
    cut_tiles();
    generate();
  }

  void run(const void* const* operands, void* y, void* scratch) const override {
    auto* memory = static_cast<float*>(scratch);
    Job job{operands[x_operand_], nullptr, residual_ < 0 ? nullptr : operands[residual_], y,
            epilogue_};
    if (bias_operand_ >= 0) job.epilogue.bias = static_cast<const float*>(operands[bias_operand_]);
    if (weights_) {
      job.weights = weights_.as<float>();
    } else {
      job.weights = memory;
      transform(operands[w_operand_], memory + weight_floats(), memory);
      memory += weight_floats() + tap_floats();
    }
    if (by_blocks_)
      run_blocks(job, memory);
    else
      share_blocks(job, memory);
  }

  size_t scratch_bytes() const override {
    const int64_t weights = weights_ ? 0 : weight_floats() + tap_floats();
    return size_t(weights + block_floats() * (by_blocks_ ? workers_ : 1)) * sizeof(float);
  }
  size_t packed_bytes() const override { return bias_.size() * sizeof(float) + weights_.bytes; }

 private:
  struct Range {
    int64_t begin, end;
  };
  struct Job {
    const void* x;
    const float* weights;
    const void* residual;
    void* y;
    WinogradEpilogue epilogue;
  };
  /// Tiles that go through together, and where their patches and products are.
  struct Block {
    int64_t first, tiles;
    float *patches, *products;
    int64_t patch_plane, product_plane;  ///< from point to point
  };

  void take_epilogue(const ConvSpec& s) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    epilogue_ = {nullptr, -kInfinity, kInfinity};
    for (const EpilogueStep& step : s.epilogue.steps) {
      if (step.kind == EpilogueStep::Kind::kResidual) residual_ = int(step.operand);
      if (const auto bounds = bounds_of(step)) std::tie(epilogue_.low, epilogue_.high) = *bounds;
    }
    if (!s.bias) return;
    if (!s.bias->constant) {
      bias_operand_ = int(s.bias->operand);
      return;
    }
    const auto* bias = static_cast<const float*>(s.bias->constant);
    bias_.assign(bias, bias + result_.channels);
    epilogue_.bias = bias_.data();
  }

  int64_t tap_floats() const { return 9 * source_.channels * result_.channels; }
  /// Of 32 bits, one number or two: what is summed over.
  int64_t depth() const { return source_.channels / (pairs_ ? 2 : 1); }
  int64_t weight_floats() const { return points_ * depth() * padded(); }
  /// Result channels, to whole vectors.
  int64_t padded() const { return columns_.n * kGemmLanes; }

  /// The weight at all points; `taps` holds it with result channels innermost meanwhile.
  void transform(const void* w, float* taps, float* to) const {
    const int64_t in = source_.channels, out = result_.channels, size = int64_t(size_of(w_type_));
    WinogradTaps t{w_type_, taps, in, out, out, 9 * out};
    if (turned_) {
      transpose_matrices(w, taps, in, out, 9, size_t(size));
      t.data = reinterpret_cast<std::byte*>(taps) + 8 * out * size;
      t.tap_stride = -out;
    } else {
      transpose_matrices(w, taps, 1, out, 9 * in, size_t(size));
    }
    const int64_t together = pairs_ ? 2 : 1;
    parallel_for(depth(), 4, [&](int64_t begin, int64_t end) {
      winograd_windows(source_.tile, t, columns_, begin * together, end * together,
                       pairs_ ? WinogradNumbers::kPairs : WinogradNumbers::kF32, to);
    });
  }

  void pack(const void* w) {
    std::string form =
        std::string(turned_ ? "winograd turned " : "winograd ") + std::string(name_of(w_type_));
    for (int64_t v : {source_.tile, source_.channels, result_.channels, columns_.n, columns_.parts})
      form += " " + std::to_string(v);
    const std::span weight(static_cast<const std::byte*>(w),
                           size_t(tap_floats()) * size_of(w_type_));
    const size_t bytes = size_t(weight_floats()) * sizeof(float);
    weights_ = packed_weight(weight, {form}, bytes, [&](std::byte* at) {
      std::vector<float> taps(static_cast<size_t>(tap_floats()));
      transform(w, taps.data(), reinterpret_cast<float*>(at));
    });
  }

  /// Each thread takes whole blocks.
  void run_blocks(const Job& job, float* memory) const {
    const Cut share{blocks_.parts, workers_};
    parallel_chunks(workers_, [&](int64_t w) {
      for (int64_t b = share.begin(w); b < share.begin(w + 1); ++b) {
        const Block block = block_of(memory + w * block_floats(), b);
        patches(job, block, {0, block.tiles});
        products(job, block, {0, units()});
        results(job, block, {0, block.tiles});
      }
    });
  }

  /// All threads work on one block after the other.
  void share_blocks(const Job& job, float* memory) const {
    const auto shared = [&](int64_t n, const auto& part) {
      const Cut share{n, workers_};
      parallel_chunks(workers_, [&](int64_t w) {
        part(Range{share.begin(w), share.begin(w + 1)});
      });
    };
    for (int64_t b = 0; b < blocks_.parts; ++b) {
      const Block block = block_of(memory, b);
      shared(block.tiles, [&](Range tiles) { patches(job, block, tiles); });
      shared(units(), [&](Range panels) { products(job, block, panels); });
      shared(block.tiles, [&](Range tiles) { results(job, block, tiles); });
    }
  }

  /// Tiles of a block: as many as the cache holds with their products; where each block would bring
  /// the weight from memory again, as many as it holds of one point.
  int64_t tiles_together() const {
    const auto floats = int64_t(sizeof(float));
    const bool far = weight_floats() * floats > kWinogradFar;
    const int64_t fitting = far ? kPlaneBytes / (depth() * floats)
                                : kBlockBytes / (points_ * (depth() + padded()) * floats);
    return std::max<int64_t>(fitting / products_.rows, 1) * products_.rows;
  }

  /// Equally many blocks for each thread where all of them may read the whole weight; where it is
  /// large and there are few blocks, the threads share each of them.
  void cut_tiles() {
    blocks_ = Cut::at_most(tiles_, tiles_together());
    const int64_t macs = points_ * tiles_ * source_.channels * result_.channels;
    if (macs < kLeastShared) workers_ = 1;
    by_blocks_ = blocks_.parts >= 2 * workers_ || workers_ == 1 ||
                 (weight_floats() < kSmallWeight && tiles_ >= workers_);
    if (by_blocks_) blocks_.parts = Cut::ceil_div(blocks_.parts, workers_) * workers_;
    blocks_.parts = std::min(blocks_.parts, tiles_);
  }

  void generate() {
    for (int64_t tiles : {blocks_.n / blocks_.parts, blocks_.largest()}) {
      const Cut rows = Cut::at_most(tiles, products_.rows);
      for (int64_t r = 0; r < rows.parts; ++r)
        for (int64_t c = 0; c < columns_.parts; ++c) kernel_for(rows.size(r), columns_.size(c));
    }
  }

  void kernel_for(int64_t rows, int64_t vectors) {
    auto& kernel = kernels_[{rows, vectors}];
    if (kernel) return;
    MicroKernelSpec m;
    m.rows = int(rows);
    m.vectors = int(vectors);
    m.last_lanes = kGemmLanes;
    m.unroll = 4;
    m.bf16 = pairs_;
    m.a_stride = depth();
    m.c_stride = padded();
    kernel = micro_kernel(m);
  }

  int64_t plane(int64_t tiles, int64_t channels) const { return tiles * channels + kPad; }
  int64_t block_floats() const {
    return points_ * (plane(blocks_.largest(), depth()) + plane(blocks_.largest(), padded()));
  }
  int64_t units() const { return points_ * columns_.parts; }

  Block block_of(float* memory, int64_t index) const {
    Block b;
    b.first = blocks_.begin(index);
    b.tiles = blocks_.size(index);
    b.patch_plane = plane(blocks_.largest(), depth());
    b.product_plane = plane(blocks_.largest(), padded());
    b.patches = memory;
    b.products = memory + points_ * b.patch_plane;
    return b;
  }

  void patches(const Job& job, const Block& b, Range tiles) const {
    WinogradLayout layout{b.patch_plane, source_.channels};
    if (pairs_) {
      layout.plane *= 2;
      layout.numbers = WinogradNumbers::kBf16;
    }
    winograd_patches(source_, top_, left_, job.x, b.first + tiles.begin, b.first + tiles.end,
                     b.patches + tiles.begin * depth(), layout);
  }

  /// Panels of the weight, counted over all points, with all tiles.
  void products(const Job& job, const Block& b, Range panels) const {
    const Cut rows = Cut::at_most(b.tiles, products_.rows);
    for (int64_t unit = panels.begin; unit < panels.end; ++unit) {
      const int64_t point = unit / columns_.parts, panel = unit % columns_.parts;
      const int64_t column = columns_.begin(panel) * kGemmLanes;
      MicroKernelArgs args;
      args.k = depth();
      args.b = job.weights + (point * padded() + column) * depth();
      for (int64_t r = 0; r < rows.parts; ++r) {
        args.a = b.patches + point * b.patch_plane + rows.begin(r) * depth();
        args.c = b.products + point * b.product_plane + rows.begin(r) * padded() + column;
        (*kernels_.at({rows.size(r), columns_.size(panel)}))(args);
      }
    }
  }

  void results(const Job& job, const Block& b, Range tiles) const {
    winograd_results(result_, job.epilogue, b.products + tiles.begin * padded(), b.product_plane,
                     b.first + tiles.begin, b.first + tiles.end, job.residual, job.y);
  }

  int64_t points_;
  bool pairs_;  ///< of bf16 are multiplied, those of two source channels
  bool turned_;
  size_t x_operand_, w_operand_;
  DType w_type_;
  int64_t top_, left_;
  RegisterTile products_;
  int residual_ = -1, bias_operand_ = -1;
  WinogradImage source_, result_;
  WinogradEpilogue epilogue_;
  std::vector<float> bias_;
  PackedWeight weights_;  ///< empty where they come at run time
  int64_t tiles_ = 0, workers_ = 1;
  Cut columns_, blocks_;  ///< of vectors, of tiles
  bool by_blocks_ = true;
  std::map<std::pair<int64_t, int64_t>, std::shared_ptr<const MicroKernel>>
      kernels_;  ///< by rows, vectors
};

/// dx as a convolution of dy. Elements of x that no window reads get a gradient of zero, as the
/// source beyond dy is zero.
ConvSpec gradient_as_convolution(const ConvGradSpec& g) {
  ConvSpec s;
  s.x_type = s.y_type = g.type;
  s.x = g.y;
  s.y = g.x;
  s.geometry = g.geometry;
  for (int64_t& pad : s.geometry.pads_begin) pad = 2 - pad;
  s.weight = {g.weight_type, g.w, nullptr, 1};
  return s;
}

}  // namespace

std::string no_winograd(const ConvSpec& s) {
  if (const std::string& why = no_generated_kernels(); !why.empty()) return why;
  const auto served = [](DType t) { return t == DType::f32 || t == DType::bf16; };
  if (!served(s.x_type) || s.y_type != s.x_type || !served(s.weight.type))
    return "it is in neither f32 nor bf16";
  if (s.x_type == DType::bf16 && has_matrix_tiles()) return "tiles of bf16 are faster here";
  const ConvGeometry& g = s.geometry;
  if (s.weight.shape.size() != 4 || s.weight.shape[2] != 3 || s.weight.shape[3] != 3 ||
      g.groups != 1 || !all(g.strides, 1) || !all(g.dilations, 1))
    return "its windows are not 3x3 side by side";
  if (s.x[1] < kFewestChannels || s.y[1] < kFewestChannels) return "it has few channels";
  if (s.bias && s.bias->type != DType::f32) return "the bias is not in f32";
  if (!s.epilogue.scales.empty()) return "its sum is scaled";
  const auto& steps = s.epilogue.steps;
  for (size_t i = 0; i < steps.size(); ++i) {
    const EpilogueStep& step = steps[i];
    const bool residual = step.kind == EpilogueStep::Kind::kResidual;
    if (residual ? i != 0 || step.scale != 1 || step.residual_type != s.y_type
                 : !bounds_of(step) || i + 1 != steps.size())
      return "more than a residual and bounds follow it";
  }
  return "";
}

std::string no_winograd(const ConvGradSpec& spec) {
  if (std::ranges::any_of(spec.geometry.pads_begin, [](int64_t pad) { return pad > 2; }))
    return "it is padded by more than its windows reach";
  return no_winograd(gradient_as_convolution(spec));
}

namespace {

int64_t tile_of(const ConvSpec& s, bool gradient) {
  const double vectors = double(Cut::ceil_div(s.y[1], kGemmLanes));
  const double channels = double(s.x[1]) * vectors * kGemmLanes;
  const auto cost = [&](int64_t tile) {
    const double points = double(winograd_points(tile));
    const double tiles = double(s.y[0] * Cut::ceil_div(s.y[2], tile) * Cut::ceil_div(s.y[3], tile));
    const double rate = multiplied_in_pairs(s, gradient) ? 2 : 1;
    // Weights that come at run time are transposed and transformed first.
    const double weights = s.weight.constant ? points : 3 * points / rate + 3 * 9;
    return points * tiles * (channels / rate + kWinogradMoved * double(s.x[1] + s.y[1])) +
           kWinogradFetched * weights * channels;
  };
  const double direct =
      9 * channels * (double(s.y[0] * s.y[2] * s.y[3]) + kWinogradFetched) / direct_rate(s.x_type);
  return winograd_choice(cost(4), cost(2), direct);
}

}  // namespace

int64_t winograd_tile(const ConvSpec& spec) { return tile_of(spec, false); }

int64_t winograd_tile(const ConvGradSpec& spec) {
  return tile_of(gradient_as_convolution(spec), true);
}

std::shared_ptr<const WinogradConv> winograd_convolution(const ConvSpec& spec, int64_t tile) {
  ESP_CHECK(no_winograd(spec).empty() && (tile == 2 || tile == 4),
            "a convolution that Winograd's algorithm does not serve");
  return std::make_shared<const Winograd>(spec, tile, false);
}

std::shared_ptr<const WinogradConv> winograd_grad_input(const ConvGradSpec& spec, int64_t tile) {
  ESP_CHECK(no_winograd(spec).empty() && (tile == 2 || tile == 4),
            "a gradient that Winograd's algorithm does not serve");
  return std::make_shared<const Winograd>(gradient_as_convolution(spec), tile, true);
}

}  // namespace espalier::kernels

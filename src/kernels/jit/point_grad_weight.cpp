#include "kernels/jit/point_grad_weight.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/jit/cut.h"
#include "kernels/jit/micro_kernel.h"

namespace espalier::kernels {

namespace {

/// Below so many multiply-accumulates a second thread costs more than it brings.
constexpr int64_t kLeastShared = 1 << 20;
/// Of both operands in a block, which every tile of the result passes over.
constexpr int64_t kBlockBytes = 512 << 10;
constexpr int64_t kFewestPositions = 128;

class PointGradWeight final : public GeneratedGradWeight {
 public:
  explicit PointGradWeight(const ConvGradSpec& g)
      : in_(g.x[1]),
        out_(g.y[1]),
        tile_(busy_tile()),
        rows_(Cut::at_most(out_, tile_.rows)),
        columns_(Cut::at_most(Cut::ceil_div(in_, kGemmLanes), tile_.vectors)) {
    const int64_t position = (in_ + out_) * int64_t(sizeof(float));
    blocks_ =
        Cut::at_most(g.y[0] * g.y[2] * g.y[3], std::max(kFewestPositions, kBlockBytes / position));
    for (size_t later : {0, 1})
      for (int64_t r = 0; r < rows_.parts; ++r)
        for (int64_t c = 0; c < columns_.parts; ++c) generate(later, r, c);
  }

  void run(const void* const* operands, void* dw, void*) const override {
    const int64_t tile = blocks_.largest() * tile_.rows * tile_.vectors * kGemmLanes;
    const int64_t grain = std::max<int64_t>(1, kLeastShared / tile);
    for (int64_t b = 0; b < blocks_.parts; ++b)
      parallel_for(rows_.parts * columns_.parts, grain, [&](int64_t begin, int64_t end) {
        for (int64_t unit = begin; unit < end; ++unit)
          multiply(b, unit % rows_.parts, unit / rows_.parts, operands, static_cast<float*>(dw));
      });
  }

  size_t scratch_bytes() const override { return 0; }
  std::string text() const override {
    return std::to_string(tile_.rows) + "x" + std::to_string(tile_.vectors * kGemmLanes) +
           " in place";
  }

 private:
  /// Panels are of two widths, and the last may end within a vector.
  size_t kind(int64_t column) const {
    if (column == columns_.parts - 1 && in_ % kGemmLanes) return 2;
    return columns_.size(column) == columns_.largest() ? 0 : 1;
  }

  void generate(size_t later, int64_t row, int64_t column) {
    auto& kernel = kernels_[later][rows_.size(row) == rows_.largest() ? 0 : 1][kind(column)];
    if (kernel) return;
    MicroKernelSpec m;
    m.rows = int(rows_.size(row));
    m.vectors = int(columns_.size(column));
    if (kind(column) == 2) m.last_lanes = int(in_ % kGemmLanes);
    m.unroll = 4;
    m.packed_rows = int(out_);
    m.b_stride = m.c_stride = in_;
    // A block's sum starts anew, so that long sums do not gather the errors of a single one.
    if (later) m.steps.push_back({EpilogueStep::Kind::kResidual, {}, 1, DType::f32, 0});
    kernel = micro_kernel(m);
  }

  void multiply(int64_t block, int64_t row, int64_t column, const void* const* operands,
                float* dw) const {
    const int64_t first = blocks_.begin(block), lane = columns_.begin(column) * kGemmLanes;
    MicroKernelArgs args;
    args.k = blocks_.size(block);
    args.a = static_cast<const float*>(operands[1]) + first * out_ + rows_.begin(row);
    args.b = static_cast<const float*>(operands[0]) + first * in_ + lane;
    args.c = dw + rows_.begin(row) * in_ + lane;
    args.residual = args.c;
    const size_t height = rows_.size(row) == rows_.largest() ? 0 : 1;
    (*kernels_[block > 0][height][kind(column)])(args);
  }

  int64_t in_, out_;
  RegisterTile tile_;
  Cut rows_, columns_, blocks_;  ///< of dy's channels, of x's in vectors, of positions
  std::array<std::array<std::array<std::shared_ptr<const MicroKernel>, 3>, 2>, 2> kernels_;
};

}  // namespace

bool reads_positions_in_place(const ConvGradSpec& g) {
  const auto all = [](const std::vector<int64_t>& v, int64_t value) {
    return std::ranges::all_of(v, [&](int64_t x) { return x == value; });
  };
  // Displacements of generated instructions have 32 bits.
  constexpr int64_t kReach = (int64_t{1} << 30) / kMostRegisters / int64_t(sizeof(float));
  return g.type == DType::f32 && g.w[2] == 1 && g.w[3] == 1 && all(g.geometry.strides, 1) &&
         all(g.geometry.pads_begin, 0) && all(g.geometry.pads_end, 0) && g.x[1] < kReach &&
         g.y[1] < kReach;
}

std::shared_ptr<const GeneratedGradWeight> generate_point_grad_weight(const ConvGradSpec& spec) {
  ESP_CHECK(no_generated_grad_weight(spec).empty() && reads_positions_in_place(spec),
            "a gradient that is read in place");
  return std::make_shared<const PointGradWeight>(spec);
}

}  // namespace espalier::kernels

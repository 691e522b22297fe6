#include "kernels/jit/generated_integers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/integers.h"
#include "kernels/jit/cut.h"
#include "kernels/jit/integer_image.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/pack.h"
#include "kernels/jit/space.h"
#include "kernels/pointwise.h"

namespace espalier::kernels {

namespace {

/// Below so many multiply-accumulates a second thread costs more than it brings.
constexpr double kLeastShared = 1 << 16;

bool is_residual(const EpilogueStep& s) { return s.kind == EpilogueStep::Kind::kResidual; }

/// How many steps the generated code does itself: those before the first it cannot.
size_t inlined_steps(const std::vector<EpilogueStep>& steps) {
  return size_t(std::ranges::find_if_not(steps, [](const auto& s) { return inlined(s, true); }) -
                steps.begin());
}

class Contraction final : public GeneratedIntegers {
 public:
  explicit Contraction(const IntegerContraction& c)
      : c_(c),
        image_(c),
        tile_(busy_tile()),
        inlined_(inlined_steps(c.epilogue.steps)),
        columns_(Cut::at_most(Cut::ceil_div(c.outputs, kGemmLanes), tile_.vectors)),
        y_bytes_(int64_t(size_of(c.y_type))) {
    const bool dense_windows = c.window[1] > 1 && c.dilations[1] == 1;
    run_ = PairedWeights::Run{c.window[0] * (dense_windows ? 1 : c.window[1]),
                              (dense_windows ? c.window[1] : 1) * c.channels};
    for (int64_t i = 0; i < c.window[0]; ++i)
      for (int64_t j = 0; j < c.window[1]; j += dense_windows ? c.window[1] : 1)
        offsets_.push_back((i * c.dilations[0] * image_.width + j * c.dilations[1]) * c.channels *
                           int64_t(sizeof(int16_t)));
    workers_ = c.macs() < kLeastShared ? 1 : num_threads();
    choose_blocks();
    pack();
    generate();
    c_.weights = nullptr;
    c_.bias = nullptr;
  }

  void run(const void* const* operands, void* y, void* scratch) const override {
    // Units of work lie in a row, block after block: panels of columns.
    const Cut share{c_.images * blocks_.parts * columns_.parts, workers_};
    parallel_chunks(workers_, [&](int64_t w) {
      auto* own = static_cast<std::byte*>(scratch) + w * slice_;
      const int64_t end = share.begin(w + 1);
      for (int64_t unit = share.begin(w); unit < end;) {
        const int64_t block = unit / columns_.parts, first = unit % columns_.parts;
        const int64_t last = std::min(columns_.parts, first + end - unit);
        const Job job{operands,
                      y,
                      block / blocks_.parts,
                      blocks_.begin(block % blocks_.parts),
                      blocks_.size(block % blocks_.parts),
                      reinterpret_cast<int16_t*>(own),
                      reinterpret_cast<float*>(own + image_bytes_)};
        copy(job);
        for (int64_t p = first; p < last; ++p) panel(job, p);
        unit += last - first;
      }
    });
  }

  size_t scratch_bytes() const override { return size_t(slice_) * size_t(workers_); }
  size_t packed_bytes() const override {
    return weights_.bytes + (bias_.size() + scales_.size()) * sizeof(float);
  }
  std::string text() const override {
    return std::to_string(tile_.rows) + "x" + std::to_string(tile_.vectors * kGemmLanes);
  }

 private:
  /// Rows of y of one image.
  struct Job {
    const void* const* operands;
    void* y;
    int64_t image, row, rows;
    int16_t* copy;
    float* tile;  ///< of the result, where steps are left to do
  };

  /// Of columns, and what its tiles have in common.
  struct Panel {
    int64_t column, columns;
    size_t kind;
    MicroKernelArgs args;
  };

  /// Windows of one element: all rows of a block are as one.
  bool points() const { return c_.window[0] == 1 && c_.window[1] == 1; }
  int64_t line(int64_t rows) const { return points() ? rows * c_.y[1] : c_.y[1]; }
  bool whole() const { return inlined_ == c_.epilogue.steps.size(); }
  int64_t padded_columns() const { return Cut::ceil_div(c_.outputs, kGemmLanes) * kGemmLanes; }
  int64_t row_bytes() const { return image_.width * c_.channels * int64_t(sizeof(int16_t)); }

  void choose_blocks() {
    const int64_t most = gemm_device().l2_bytes / 4;
    int64_t rows = c_.y[0];
    while (rows > 1 && image_.extent(c_, 0, rows) * row_bytes() > most) rows = (rows + 1) / 2;
    blocks_ = Cut::at_most(c_.y[0], rows);
    constexpr int64_t kPast = 64;  // what is read past the end
    image_bytes_ = image_.extent(c_, 0, blocks_.largest()) * row_bytes() + kPast;
    image_bytes_ = Cut::ceil_div(image_bytes_, 64) * 64;
    const int64_t floats = whole() ? 0 : tile_.rows * tile_.vectors * kGemmLanes;
    slice_ = image_bytes_ + Cut::ceil_div(floats * int64_t(sizeof(float)), 64) * 64;
  }

  void pack() {
    weights_ = packed_pairs({c_.weights, c_.outputs, c_.channels, c_.output_stride,
                             c_.channel_stride, c_.window, c_.window_strides, run_},
                            columns_.parts);
    const auto padded = [&](const float* from) {
      std::vector<float> all(size_t(padded_columns()), 0);
      std::copy_n(from, c_.outputs, all.begin());
      return all;
    };
    if (c_.bias) bias_ = padded(c_.bias);
    if (c_.epilogue.scales.size() > 1) scales_ = padded(c_.epilogue.scales.data());
    for (size_t i = 0; i < inlined_; ++i)
      if (is_residual(c_.epilogue.steps[i])) residual_ = &c_.epilogue.steps[i];
    if (residual_) residual_bytes_ = int64_t(size_of(residual_->residual_type));
  }

  float largest_sum() const {
    float scale = c_.epilogue.scales.empty() ? 1 : 0, bias = 0;
    for (const float s : c_.epilogue.scales) scale = std::max(scale, std::abs(s));
    for (const float b : bias_) bias = std::max(bias, std::abs(b));
    return (0x1p31f + bias) * scale;
  }

  size_t width_index(int64_t panel) const {
    if (panel == columns_.parts - 1 && c_.outputs % kGemmLanes) return 2;
    return columns_.size(panel) == columns_.largest() ? 0 : 1;
  }

  void generate() {
    for (const size_t kind : {0, 1}) {
      const int64_t rows = kind == 0 ? blocks_.largest() : blocks_.n / blocks_.parts;
      const Cut tiles = Cut::at_most(line(rows), tile_.rows);
      for (int64_t t = 0; t <= tiles.parts; ++t) tiles_[kind].push_back(tiles.begin(t));
      for (const int64_t height : {tiles.largest(), tiles.n / tiles.parts})
        for (int64_t p = 0; p < columns_.parts; ++p) need(height, p);
    }
  }

  void need(int64_t height, int64_t panel) {
    auto& kernel = kernels_[size_t(height)][width_index(panel)];
    if (kernel) return;
    MicroKernelSpec s;
    s.integers = true;
    s.windows = run_.count > 1;
    s.y_type = whole() ? c_.y_type : DType::f32;
    s.rows = int(height);
    s.vectors = int(columns_.size(panel));
    if (width_index(panel) == 2) s.last_lanes = int(c_.outputs % kGemmLanes);
    s.unroll = 4;
    s.a_stride = image_.steps[1] * c_.channels;
    s.residual_stride = c_.outputs;
    s.c_stride = whole() ? c_.outputs : tile_.vectors * kGemmLanes;
    s.bias = !bias_.empty();
    if (c_.epilogue.scales.size() == 1) s.scale = c_.epilogue.scales[0];
    s.column_scales = !scales_.empty();
    s.largest = largest_sum();
    s.steps.assign(c_.epilogue.steps.begin(), c_.epilogue.steps.begin() + int64_t(inlined_));
    kernel = micro_kernel(s);
  }

  void copy(const Job& j) const {
    const auto* x = static_cast<const std::byte*>(j.operands[c_.x_operand]);
    image_.copy(c_, x + j.image * c_.x[0] * c_.x[1] * c_.channels, j.row, j.rows, j.copy);
  }

  void panel(const Job& j, int64_t p) const {
    const int64_t lines = points() ? 1 : j.rows;
    const int64_t column = columns_.begin(p) * kGemmLanes;
    Panel panel{
        column, std::min(columns_.size(p) * kGemmLanes, c_.outputs - column), width_index(p), {}};
    panel.args.b = weights_.as<std::byte>() + column * run_.count * run_.pairs() * 4;
    if (!bias_.empty()) panel.args.bias = bias_.data() + column;
    if (!scales_.empty()) panel.args.scales = scales_.data() + column;
    panel.args.k = run_.pairs();
    panel.args.runs = run_.count;
    panel.args.offsets = offsets_.data();
    const std::vector<int64_t>& tiles = tiles_[j.rows == blocks_.largest() ? 0 : 1];
    for (int64_t i = 0; i < lines; ++i) {
      const int16_t* from = j.copy + i * image_.steps[0] * image_.width * c_.channels;
      const int64_t first = (j.image * c_.y[0] + j.row + i) * c_.y[1];
      for (size_t t = 0; t + 1 < tiles.size(); ++t)
        tile(j, from + tiles[t] * image_.steps[1] * c_.channels, first + tiles[t],
             tiles[t + 1] - tiles[t], panel);
    }
  }

  /// `rows` pixels of y from `pixel` on.
  void tile(const Job& j, const int16_t* from, int64_t pixel, int64_t rows, Panel& p) const {
    const int64_t at = pixel * c_.outputs + p.column;
    auto* y = static_cast<std::byte*>(j.y) + at * y_bytes_;
    p.args.a = from;
    p.args.c = whole() ? static_cast<void*>(y) : j.tile;
    if (residual_)
      p.args.residual =
          static_cast<const std::byte*>(j.operands[residual_->operand]) + at * residual_bytes_;
    (*kernels_[size_t(rows)][p.kind])(p.args);
    if (!whole()) finish_tile(j, y, rows, p.columns);
  }

  /// The steps that generated code leaves.
  void finish_tile(const Job& j, std::byte* y, int64_t rows, int64_t columns) const {
    for (int64_t i = 0; i < rows; ++i, y += c_.outputs * y_bytes_) {
      float* row = j.tile + i * tile_.vectors * kGemmLanes;
      for (size_t s = inlined_; s < c_.epilogue.steps.size(); ++s)
        apply_scalar(c_.epilogue.steps[s].op, row, row, size_t(columns));
      if (c_.y_type == DType::f32)
        std::memcpy(y, row, size_t(columns) * sizeof(float));
      else
        narrow(row, c_.y_type, y, columns);
    }
  }

  IntegerContraction c_;
  IntegerImage image_;
  RegisterTile tile_;
  size_t inlined_;
  Cut columns_, blocks_;  // panels of vectors; blocks of rows of y
  PairedWeights::Run run_;
  std::vector<int64_t> offsets_;
  const EpilogueStep* residual_ = nullptr;
  std::array<std::vector<int64_t>, 2> tiles_;  ///< of a line, where they begin: larger blocks first
  int64_t y_bytes_, residual_bytes_ = 0;       ///< of an element
  int64_t workers_ = 1, image_bytes_ = 0, slice_ = 0;
  PackedWeight weights_;
  std::vector<float> bias_, scales_;
  /// By rows and by kind of panel.
  std::array<std::array<std::shared_ptr<const MicroKernel>, 3>, kMostRegisters> kernels_;
};

}  // namespace

std::shared_ptr<const GeneratedIntegers> generate_integers(const IntegerContraction& c) {
  ESP_CHECK(no_generated_kernels().empty(), no_generated_kernels());
  return std::make_shared<const Contraction>(c);
}

}  // namespace espalier::kernels

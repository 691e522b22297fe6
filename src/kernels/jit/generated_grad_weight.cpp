#include "kernels/jit/generated_grad_weight.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/jit/cut.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/point_grad_weight.h"
#include "kernels/jit/position_panels.h"

namespace espalier::kernels {

namespace {

/// Below, most lanes would be empty.
constexpr int64_t kFewestChannels = 8;
/// Below so many multiply-accumulates a second thread costs more than it brings.
constexpr double kLeastShared = 1 << 20;
/// Of dy in a block, so that it stays in the second cache while all taps and channels of x pass.
constexpr int64_t kBlockBytes = 512 << 10;
constexpr int64_t kFewestSteps = 128, kMostSteps = 256;
/// Channels of dy in a panel.
constexpr int64_t kPanel = kGemmLanes;

// Rows of x that the rows of a block read, sorted by their remainder to the stride: those that a
// row of windows reads lie side by side then, and one run of k takes all rows and images of a
// block. Each column of windows has a copy of its own, in which the positions it reads are
// neighbours.
class GradWeight final : public GeneratedGradWeight {
 public:
  explicit GradWeight(const ConvGradSpec& g)
      : g_(g),
        pair_(g.type == DType::bf16 ? 2 : 1),
        window_{g.w[2], g.w[3]},
        steps_(Cut::ceil_div(g.y[3], pair_)),
        columns_(Cut::at_most(Cut::ceil_div(g.x[1], kGemmLanes), vectors())),
        panels_(Cut::ceil_div(g.y[1], kPanel)),
        tiles_{kPanel, 1} {
    while (!tile_fits(int(tiles_.largest()), int(vectors()))) ++tiles_.parts;
    for (int64_t u = 0; u < window_[0]; ++u) {
      const int64_t phase = down(u) % g.geometry.strides[0];
      if (std::ranges::find(phases_, phase) == phases_.end()) phases_.push_back(phase);
    }
    cut_positions();
    direct_ = taps() == 1 && g.weight_type == DType::f32 && padded_in() == g.x[1] &&
              panels_ * kPanel == g.y[1];
    generate();
  }

  void run(const void* const* operands, void* dw, void* scratch) const override {
    Job job{operands, static_cast<float*>(scratch), nullptr, nullptr, dw};
    job.x = job.dy + dy_words();
    job.sums = direct_ ? static_cast<float*>(dw) : job.x + x_words();
    for (int64_t image = 0; image < images_.parts; ++image)
      for (int64_t row = 0; row < rows_.parts; ++row) {
        const Block b{images_.begin(image), images_.size(image), rows_.begin(row), rows_.size(row)};
        if (g_.type == DType::bf16)
          pack<bfloat16>(b, job);
        else
          pack<float>(b, job);
        if (at_once()) return panels_at_once(b, job);
        parallel_for(units() * panels_, grain(b), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i)
            multiply(b, job, i / panels_, i % panels_, sums_of(job.sums, i % panels_),
                     image + row == 0);
        });
      }
    if (direct_) return;
    parallel_for(panels_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel)
        lay_out(panel, sums_of(job.sums, panel), dw);
    });
  }

  size_t scratch_bytes() const override {
    const int64_t held = direct_ ? 0 : at_once() ? num_threads() : panels_;
    return size_t(dy_words() + x_words() + held * panel_sums()) * sizeof(float);
  }
  std::string text() const override {
    return std::to_string(tiles_.largest()) + "x" + std::to_string(vectors() * kGemmLanes);
  }

 private:
  /// Rows of y of some images.
  struct Block {
    int64_t image, images, row, rows;
    int64_t lines() const { return images * rows; }
  };
  struct Job {
    const void* const* operands;
    float *dy, *x, *sums;
    void* dw;
  };

  /// A number, or a pair of them.
  template <class T>
  using Word = std::conditional_t<std::is_same_v<T, float>, float, uint32_t>;

  static int64_t vectors() { return vector_registers().count == kMostRegisters ? 4 : 1; }
  int64_t taps() const { return window_[0] * window_[1]; }
  int64_t padded_in() const { return columns_.n * kGemmLanes; }
  /// Rows from the first that a window reads to its u-th.
  int64_t down(int64_t u) const { return u * g_.geometry.dilations[0]; }
  /// Rows of x of one phase that so many rows of y read.
  int64_t rows_of_phase(int64_t rows) const {
    return rows + down(window_[0] - 1) / g_.geometry.strides[0];
  }

  // In words of 32 bits: numbers, or pairs of them.
  int64_t dy_words() const { return panels_ * kPanel * most_lines_ * steps_; }
  int64_t x_words() const {
    return padded_in() * window_[1] * int64_t(phases_.size()) * rows_of_phase(rows_.largest()) *
           images_.largest() * steps_;
  }
  /// Sums of a panel of dy: [channel of dy][tap][channel of x].
  int64_t panel_sums() const { return kPanel * taps() * padded_in(); }
  float* sums_of(float* sums, int64_t panel) const { return sums + panel * panel_sums(); }

  /// Taps with panels of x: what a panel of dy is multiplied by.
  int64_t units() const { return taps() * columns_.parts; }
  int64_t grain(const Block& b) const {
    const double macs =
        double(pair_ * steps_ * b.lines()) * double(kPanel * vectors() * kGemmLanes);
    return std::max<int64_t>(1, int64_t(kLeastShared / macs));
  }
  /// One block takes all positions, so that a panel's sums are final and laid out while they are
  /// near.
  bool at_once() const { return images_.parts * rows_.parts == 1 && !direct_; }

  void panels_at_once(const Block& b, const Job& job) const {
    const int64_t workers = grain(b) < units() * panels_ ? num_threads() : 1;
    const Cut share{panels_, workers};
    parallel_chunks(workers, [&](int64_t w) {
      float* const sums = sums_of(job.sums, w);
      for (int64_t panel = share.begin(w); panel < share.begin(w + 1); ++panel) {
        for (int64_t unit = 0; unit < units(); ++unit) multiply(b, job, unit, panel, sums, true);
        lay_out(panel, sums, job.dw);
      }
    });
  }

  void cut_positions() {
    const int64_t most = std::clamp(kBlockBytes / (panels_ * kPanel * int64_t(sizeof(float))),
                                    kFewestSteps, kMostSteps);
    const int64_t image = g_.y[2] * steps_;
    images_ = Cut::at_most(g_.y[0], std::max<int64_t>(1, most / image));
    rows_ = Cut::at_most(g_.y[2], image <= most ? g_.y[2] : std::max<int64_t>(1, most / steps_));
    most_lines_ = images_.largest() * rows_.largest();
  }

  void generate() {
    for (size_t later : {0, 1})
      for (int64_t part = 0; part < tiles_.parts; ++part)
        for (int64_t p = 0; p < columns_.parts; ++p) {
          auto& kernel = kernel_for(later, tiles_.size(part), columns_.size(p));
          if (kernel) continue;
          MicroKernelSpec m;
          m.bf16 = pair_ == 2;
          m.rows = int(tiles_.size(part));
          m.vectors = int(columns_.size(p));
          m.unroll = 4;
          m.packed_rows = kPanel;
          m.c_stride = taps() * padded_in();
          // A block's sum starts anew, so that long sums do not gather the errors of a single one.
          if (later) m.steps.push_back({EpilogueStep::Kind::kResidual, {}, 1, DType::f32, 0});
          kernel = micro_kernel(m);
        }
  }

  std::shared_ptr<const MicroKernel>& kernel_for(size_t later, int64_t rows, int64_t vectors) {
    return kernels_[later][size_t(rows)][size_t(vectors)];
  }
  const MicroKernel& kernel_for(size_t later, int64_t rows, int64_t vectors) const {
    return *kernels_[later][size_t(rows)][size_t(vectors)];
  }

  /// Where the panel of x for a column of windows begins.
  int64_t x_place(const Block& b, int64_t panel, int64_t v) const {
    const int64_t lines = int64_t(phases_.size()) * rows_of_phase(b.rows) * b.images;
    return (columns_.begin(panel) * window_[1] + columns_.size(panel) * v) * kGemmLanes * lines *
           steps_;
  }

  template <class T>
  void pack(const Block& b, const Job& job) const {
    const auto words = [](float* at) { return reinterpret_cast<Word<T>*>(at); };
    constexpr int64_t kGrain = 64;
    parallel_for(panels_ * b.rows, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        pack_dy(b, i / b.rows, i % b.rows, static_cast<const T*>(job.operands[1]),
                words(job.dy + i * b.images * steps_ * kPanel));
    });
    const int64_t lines = int64_t(phases_.size()) * rows_of_phase(b.rows);
    parallel_for(columns_.parts * window_[1] * lines, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t panel = i / lines / window_[1], v = i / lines % window_[1], line = i % lines;
        const int64_t lanes = columns_.size(panel) * kGemmLanes;
        pack_x(b, panel, v, line, static_cast<const T*>(job.operands[0]),
               words(job.x + x_place(b, panel, v) + line * b.images * steps_ * lanes));
      }
    });
  }

  template <class T>
  void pack_dy(const Block& b, int64_t panel, int64_t row, const T* dy, Word<T>* to) const {
    const int64_t channels = g_.y[1], width = g_.y[3], first = panel * kPanel;
    for (int64_t n = 0; n < b.images; ++n, to += steps_ * kPanel) {
      const int64_t line = (b.image + n) * g_.y[2] + b.row + row;
      const PositionRow<T> source{dy + line * width * channels + first, channels, 0, width,
                                  std::min(kPanel, channels - first)};
      pack_positions(source, width, kPanel, to);
    }
  }

  /// A row of x, of whichever phase, for one column of windows.
  template <class T>
  void pack_x(const Block& b, int64_t panel, int64_t v, int64_t line, const T* x,
              Word<T>* to) const {
    const ConvGeometry& g = g_.geometry;
    const int64_t channels = g_.x[1], height = g_.x[2], width = g_.x[3];
    const int64_t lanes = columns_.size(panel) * kGemmLanes;
    const int64_t phase = phases_[size_t(line / rows_of_phase(b.rows))];
    const int64_t row =
        (b.row + line % rows_of_phase(b.rows)) * g.strides[0] + phase - g.pads_begin[0];
    const int64_t left = v * g.dilations[1] - g.pads_begin[1], stride = g.strides[1];
    const int64_t first_channel = columns_.begin(panel) * kGemmLanes;
    PositionRow<T> source{nullptr, stride * channels, 0, 0,
                          std::min(lanes, channels - first_channel)};
    if (row >= 0 && row < height) {
      source.first = std::max<int64_t>(0, Cut::ceil_div(-left, stride));
      source.last = std::min(g_.y[3], Cut::ceil_div(width - left, stride));
    }
    for (int64_t n = 0; n < b.images; ++n, to += steps_ * lanes) {
      source.data = x + (((b.image + n) * height + row) * width + left) * channels + first_channel;
      pack_positions(source, g_.y[3], lanes, to);
    }
  }

  /// A panel of dy with a panel of x for one tap: the sums over a block.
  void multiply(const Block& b, const Job& job, int64_t unit, int64_t panel, float* sums,
                bool first) const {
    const int64_t column = unit % columns_.parts, tap = unit / columns_.parts;
    const int64_t u = tap / window_[1], v = tap % window_[1];
    const int64_t stride = g_.geometry.strides[0];
    const int64_t slot = std::ranges::find(phases_, down(u) % stride) - phases_.begin();
    const int64_t line = slot * rows_of_phase(b.rows) + down(u) / stride;
    const int64_t lanes = columns_.size(column) * kGemmLanes;
    MicroKernelArgs args;
    args.k = b.lines() * steps_;
    args.b = job.x + x_place(b, column, v) + line * b.images * steps_ * lanes;
    const float* const a = job.dy + panel * kPanel * args.k;
    for (int64_t part = 0; part < tiles_.parts; ++part) {
      args.a = a + tiles_.begin(part);
      args.c = sums + (tiles_.begin(part) * taps() + tap) * padded_in() +
               columns_.begin(column) * kGemmLanes;
      args.residual = args.c;
      kernel_for(first ? 0 : 1, tiles_.size(part), columns_.size(column))(args);
    }
  }

  void lay_out(int64_t panel, const float* sums, void* dw) const {
    const int64_t first = panel * kPanel, count = std::min(kPanel, g_.y[1] - first);
    const int64_t row = g_.x[1] * taps();
    for (int64_t o = 0; o < count; ++o, sums += taps() * padded_in())
      if (g_.weight_type == DType::bf16)
        lay_out(sums, static_cast<bfloat16*>(dw) + (first + o) * row);
      else
        lay_out(sums, static_cast<float*>(dw) + (first + o) * row);
  }

  /// [tap][channel of x] as [channel of x][tap].
  template <class T>
  void lay_out(const float* from, T* to) const {
    if (taps() == 9) return interleave<9>(from, to);
    for (int64_t i = 0; i < g_.x[1]; ++i)
      for (int64_t t = 0; t < taps(); ++t) *to++ = T(from[t * padded_in() + i]);
  }
  template <int kTaps, class T>
  void interleave(const float* from, T* to) const {
    for (int64_t i = 0; i < g_.x[1]; ++i)
      for (int64_t t = 0; t < kTaps; ++t) to[i * kTaps + t] = T(from[t * padded_in() + i]);
  }

  ConvGradSpec g_;
  int64_t pair_;  ///< positions in a step of k
  std::array<int64_t, 2> window_;
  int64_t steps_;                ///< of k in a row of y
  Cut columns_;                  ///< of x's channels: vectors in panels
  int64_t panels_;               ///< of dy's channels
  Cut tiles_;                    ///< of a panel of dy
  std::vector<int64_t> phases_;  ///< remainders of rows to the stride that windows read
  Cut images_, rows_;            ///< in blocks
  int64_t most_lines_ = 0;
  bool direct_ = false;  ///< the sums are the result
  std::array<std::array<std::array<std::shared_ptr<const MicroKernel>, 5>, kPanel + 1>, 2> kernels_;
};

}  // namespace

std::string no_generated_grad_weight(const ConvGradSpec& g) {
  if (const std::string& why = no_generated_kernels(); !why.empty()) return why;
  if (g.type != DType::f32 && g.type != DType::bf16) return "it is in neither f32 nor bf16";
  if (g.type == DType::bf16 && !multiplies_bf16()) return "no instruction multiplies bf16 here";
  if (g.weight_type != g.type && g.weight_type != DType::f32)
    return "the weight is of another type";
  if (g.x.size() != 4) return "it has not two spatial axes";
  if (g.geometry.groups != 1) return "it has groups";
  if (g.x[1] < kFewestChannels || g.y[1] < kFewestChannels) return "it has few channels";
  return "";
}

bool generated_grad_weight_pays(const ConvGradSpec& g) {
  // Measured on Zen 4, in f32 and in bf16, on the layers of ResNet-20 and MobileNetV2.
  constexpr double kLeastMacs = 64;  // for each word that is copied
  const double macs = double(g.w[2] * g.w[3] * g.x[1] * g.y[1]);
  return reads_positions_in_place(g) || macs >= kLeastMacs * double(g.w[3] * g.x[1] + g.y[1]);
}

std::shared_ptr<const GeneratedGradWeight> generate_grad_weight(const ConvGradSpec& spec) {
  ESP_CHECK(no_generated_grad_weight(spec).empty(), no_generated_grad_weight(spec));
  if (reads_positions_in_place(spec)) return generate_point_grad_weight(spec);
  return std::make_shared<const GradWeight>(spec);
}

}  // namespace espalier::kernels

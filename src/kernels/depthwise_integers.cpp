#include "kernels/depthwise_integers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/depthwise_integers_row.h"
#include "kernels/jit/cut.h"

namespace espalier::kernels {

namespace {

constexpr int64_t kBlock = kDepthwiseChannels;
/// Taps whose sum f32 holds exactly, whatever the numbers.
constexpr int64_t kMostTaps = (int64_t{1} << 24) / (255 * 128);
/// Below so many multiply-accumulates a second thread costs more than it brings.
constexpr double kLeastShared = 1 << 16;

bool is_8bit(DType t) { return t == DType::u8 || t == DType::i8; }

/// y = clamp(v, low, high) factor + offset of the scaled sum v.
struct Finish {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity(), factor = 1, offset = 0;
};
/// Nothing where the steps are others.
std::optional<Finish> finish_of(const std::vector<EpilogueStep>& steps) {
  Finish f;
  size_t i = 0;
  const auto is = [&](ScalarCode code) {
    return i < steps.size() && steps[i].kind == EpilogueStep::Kind::kScalar &&
           steps[i].op.code == code;
  };
  if (const auto bounds = i < steps.size() ? bounds_of(steps[i]) : std::nullopt) {
    std::tie(f.low, f.high) = *bounds;
    ++i;
  }
  if (is(ScalarCode::kAffine) && steps[i].op.p0 > 0) {
    f.factor = steps[i].op.p0;
    f.offset = steps[i].op.p1;
    ++i;
  }
  if (i < steps.size()) return std::nullopt;
  return f;
}

}  // namespace

const char* depthwise_integers_refusal(const ConvSpec& s) {
  if (s.x.size() != 4) return "the operand has not two spatial axes";
  if (s.geometry.groups != s.x[1] || s.weight.shape[1] != 1 || s.x[1] != s.y[1])
    return "not every channel has one window of its own";
  if (!is_8bit(s.x_type) || s.weight.type != DType::i8) return "the operands are not 8 bit";
  if (!is_8bit(s.y_type) && s.y_type != DType::f32) return "the result is neither 8 bit nor f32";
  if (!s.weight.constant || (s.bias && !s.bias->constant))
    return "weight or bias are not known at compile time";
  if (s.bias && (s.bias->type != DType::f32 || numel(s.bias->shape) != s.x[1]))
    return "the bias is not one number per channel";
  if (s.x[1] < kBlock) return "it has fewer than 16 channels";
  if (s.weight.shape[2] * s.weight.shape[3] > kMostTaps) return "its window is too large";
  if (s.geometry.pads_begin[0] < 0 || s.geometry.pads_begin[1] < 0)
    return "it is cut instead of padded";
  if (!finish_of(s.epilogue.steps)) return "the function after it is no cut-off";
  return nullptr;
}

struct DepthwiseIntegers::Plan {
  ConvSpec spec;
  float low = 0, high = 0;
  int64_t blocks = 0, width = 0;             ///< of channels; columns of a kept row
  Cut rows;                                  ///< of y, for threads
  int64_t workers = 1, reach = 0;            ///< rows of x that a window spans
  std::vector<float> weights, bias, scales;  ///< [block][tap][16], [block][16]

  int64_t first_channel(int64_t block) const {
    return std::min(block * kBlock, spec.x[1] - kBlock);
  }
  int64_t row_floats() const { return width * kBlock; }
  void keep_row(const std::byte* image, int64_t row, int64_t channel, float* to) const;
  void run(const void* x, void* y, int64_t image, int64_t block, int64_t part, float* kept) const;
};

DepthwiseIntegers::DepthwiseIntegers(const ConvSpec& s) {
  ESP_CHECK(!depthwise_integers_refusal(s), "a depthwise convolution that was refused");
  auto plan = std::make_unique<Plan>();
  Plan& p = *plan;
  p.spec = s;
  // The factor is positive, so that bounds can be those of the result, its type's among them.
  const Finish f = *finish_of(s.epilogue.steps);
  p.low = f.low * f.factor + f.offset;
  p.high = f.high * f.factor + f.offset;
  if (s.y_type != DType::f32) {
    const float least = s.y_type == DType::u8 ? 0.0f : -128.0f;
    p.low = std::clamp(p.low, least, least + 255);
    p.high = std::clamp(p.high, least, least + 255);
  }
  const int64_t channels = s.x[1], taps = s.weight.shape[2] * s.weight.shape[3];
  p.blocks = Cut::ceil_div(channels, kBlock);
  p.width =
      (s.y[3] - 1) * s.geometry.strides[1] + (s.weight.shape[3] - 1) * s.geometry.dilations[1] + 1;
  p.reach = (s.weight.shape[2] - 1) * s.geometry.dilations[0] + 1;
  p.workers = double(numel(s.y)) * double(taps) < kLeastShared ? 1 : num_threads();
  const int64_t units = s.x[0] * p.blocks;
  p.rows = {s.y[2], std::min(s.y[2], p.workers == 1 ? 1 : Cut::ceil_div(4 * p.workers, units))};
  const auto* weights = static_cast<const int8_t*>(s.weight.constant);
  const auto* bias = s.bias ? static_cast<const float*>(s.bias->constant) : nullptr;
  const auto& scales = s.epilogue.scales;
  for (int64_t b = 0; b < p.blocks; ++b) {
    const int64_t first = p.first_channel(b);
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = first; c < first + kBlock; ++c)
        p.weights.push_back(float(weights[c * taps + t]));
    for (int64_t c = first; c < first + kBlock; ++c) {
      const float scale = scales.empty() ? 1.0f : scales[scales.size() == 1 ? 0 : size_t(c)];
      p.scales.push_back(scale * f.factor);
      p.bias.push_back(bias ? std::fma(bias[c], p.scales.back(), f.offset) : f.offset);
    }
  }
  p.spec.weight.constant = nullptr;
  p.spec.bias.reset();
  plan_ = std::move(plan);
}

DepthwiseIntegers::~DepthwiseIntegers() = default;

size_t DepthwiseIntegers::scratch_bytes() const {
  // The rows of a window, and one of padding.
  return size_t(plan_->workers * (plan_->reach + 1) * plan_->row_floats()) * sizeof(float);
}

size_t DepthwiseIntegers::packed_bytes() const {
  return (plan_->weights.size() + plan_->bias.size() + plan_->scales.size()) * sizeof(float);
}

/// A row of x with its padding.
void DepthwiseIntegers::Plan::keep_row(const std::byte* image, int64_t row, int64_t channel,
                                       float* to) const {
  const ConvSpec& s = spec;
  const int64_t left = std::min(s.geometry.pads_begin[1], width);
  const int64_t count = std::min(width - left, s.x[3]);
  const auto fill = [&](int64_t column, int64_t n) {
    std::memset(to + column * kBlock, 0, size_t(n * kBlock) * sizeof(float));
  };
  fill(0, left);
  depthwise_columns(image + row * s.x[3] * s.x[1] + channel, s.x_type, float(s.x_zero_point),
                    s.x[1], count, to + left * kBlock);
  fill(left + count, width - left - count);
}

void DepthwiseIntegers::Plan::run(const void* x, void* y, int64_t image, int64_t block,
                                  int64_t part, float* kept) const {
  const ConvSpec& s = spec;
  const kernels::ConvGeometry& g = s.geometry;
  const int64_t channel = first_channel(block), window_rows = s.weight.shape[2];
  const auto* from = static_cast<const std::byte*>(x) + image * s.x[1] * s.x[2] * s.x[3];
  const float* padding = kept + reach * row_floats();
  std::vector<const float*> window(static_cast<size_t>(window_rows));
  DepthwiseRow t{window.data(),
                 window_rows,
                 s.weight.shape[3],
                 g.strides[1],
                 g.dilations[1],
                 weights.data() + block * window_rows * s.weight.shape[3] * kBlock,
                 bias.data() + block * kBlock,
                 scales.data() + block * kBlock,
                 low,
                 high,
                 s.y[3],
                 s.y_type,
                 nullptr,
                 s.y[1]};
  const int64_t begin = rows.begin(part), end = rows.begin(part + 1);
  int64_t next = begin * g.strides[0] - g.pads_begin[0];  // row of x not kept yet
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = i * g.strides[0] - g.pads_begin[0];
    // A row keeps its place for as long as windows reach it.
    const auto place = [&](int64_t row) {
      return kept + (row + g.pads_begin[0]) % reach * row_floats();
    };
    for (next = std::max(next, first); next < first + reach; ++next)
      if (next >= 0 && next < s.x[2]) keep_row(from, next, channel, place(next));
    for (int64_t r = 0; r < window_rows; ++r) {
      const int64_t row = first + r * g.dilations[0];
      window[size_t(r)] = row >= 0 && row < s.x[2] ? place(row) : padding;
    }
    const int64_t at = ((image * s.y[2] + i) * s.y[3]) * s.y[1] + channel;
    t.y = static_cast<std::byte*>(y) + at * int64_t(size_of(s.y_type));
    depthwise_row(t);
  }
}

void DepthwiseIntegers::run(const void* x, void* y, void* scratch) const {
  const Plan& p = *plan_;
  const int64_t floats = (p.reach + 1) * p.row_floats();
  const Cut share{p.spec.x[0] * p.blocks * p.rows.parts, p.workers};
  parallel_chunks(p.workers, [&](int64_t w) {
    float* kept = static_cast<float*>(scratch) + w * floats;
    std::memset(kept + p.reach * p.row_floats(), 0, size_t(p.row_floats()) * sizeof(float));
    for (int64_t unit = share.begin(w); unit < share.begin(w + 1); ++unit) {
      const int64_t part = unit % p.rows.parts, group = unit / p.rows.parts;
      p.run(x, y, group / p.blocks, group % p.blocks, part, kept);
    }
  });
}

}  // namespace espalier::kernels

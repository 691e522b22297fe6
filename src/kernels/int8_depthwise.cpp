#include "kernels/int8_depthwise.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/int8_conv_tile.h"
#include "kernels/int8_depthwise_row.h"

namespace espalier::kernels {
namespace {

/// Sums kept before the general epilogue: 8 KiB of 64 channels.
constexpr int64_t kSumPixels = 32;
/// Rows of the longest window.
constexpr int64_t kMostRows = 16;

struct alignas(64) Line {
  uint8_t bytes[64];
};

/// Values in their order -> that of the vectors: vector v of a block has channels 4 v to 4 v + 3 of
/// each 16.
int64_t channel_at(int64_t position, int64_t block) {
  const int64_t vector = position / (block / 4), within = position % (block / 4);
  return within / 4 * 16 + vector * 4 + within % 4;
}

}  // namespace

struct Int8Depthwise::Plan {
  Int8ConvSpec spec;
  Int8Epilogue epilogue;
  Int8DepthwiseResult result = Int8DepthwiseResult::kSums;
  uint8_t low = 0, high = 0;
  int64_t chunk = 0;  ///< most pixels of one call
  Line fill;          ///< padding as the source has it
  uint8_t flip = 0;   ///< see Int8DepthwiseRow
  struct Block {
    int64_t first = 0;  ///< channel; blocks may overlap where the channels are no multiple of 16
    int channels = 0;   ///< 16, 32 or 64
    size_t weights = 0, start = 0, scales = 0, bias = 0;  ///< lines
  };
  std::vector<Block> blocks;
  std::vector<Line> packed;

  template <class T>
  const T* line(size_t i) const {
    return reinterpret_cast<const T*>(packed[i].bytes);
  }
  template <class T>
  T* line(size_t i) {
    return reinterpret_cast<T*>(packed[i].bytes);
  }
  /// The first of as many new lines as that takes.
  size_t append(int64_t bytes) {
    const size_t at = packed.size();
    packed.resize(at + (size_t(bytes) + sizeof(Line) - 1) / sizeof(Line), Line{});
    return at;
  }
  void pack(Block block);
  void run_row(const uint8_t* x, const void* residual, void* y, int64_t n, int64_t row) const;
};

namespace {

/// What is known of every row.
Int8DepthwiseRow geometry_of(const Int8ConvSpec& s) {
  Int8DepthwiseRow row{};
  row.window_rows = s.w[2];
  row.window_columns = s.w[3];
  row.stride = s.strides[1];
  row.dilation = s.dilations[1];
  row.width = s.x[3];
  return row;
}

uint8_t limit_of(float value, DType type) {
  return type == DType::u8 ? uint8_t(std::clamp(std::nearbyint(value), 0.0f, 255.0f))
                           : uint8_t(int8_t(std::clamp(std::nearbyint(value), -128.0f, 127.0f)));
}

}  // namespace

const char* int8_depthwise_refusal(const Int8ConvSpec& s) {
  if (s.w[1] != 1 || s.x[1] != s.y[1]) return "not every channel has one window of its own";
  if (s.x[1] < 16) return "it has fewer than 16 channels";
  if (s.w[2] > kMostRows || int8_depthwise_pixels(geometry_of(s)) == 0)
    return "its window is too large";
  return nullptr;
}

void Int8Depthwise::Plan::pack(Block b) {
  const Int8ConvSpec& s = spec;
  const int64_t kh = s.w[2], kw = s.w[3], groups = (kh + 3) / 4;
  const int32_t zero = s.x_zero_point + (s.x_type == DType::i8 ? 128 : 0);
  b.weights = append(groups * kw * b.channels * 4);
  b.start = append(b.channels * 4);
  b.scales = append(b.channels * 4);
  b.bias = append(b.channels * 4);
  auto* weights = line<int8_t>(b.weights);
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t j = 0; j < kw; ++j)
      for (int64_t k = 0; k < b.channels; ++k)
        for (int64_t i = 4 * g; i < 4 * g + 4; ++i) {
          const int64_t c = b.first + channel_at(k, b.channels);
          *weights++ = i < kh ? s.weights[(c * kh + i) * kw + j] : int8_t(0);
        }
  // The general epilogue takes channels in their order.
  const bool ordered = result == Int8DepthwiseResult::kSums;
  for (int64_t k = 0; k < b.channels; ++k) {
    const int64_t c = b.first + channel_at(k, b.channels);
    int32_t sum = 0;
    for (int64_t i = 0; i < kh * kw; ++i) sum += s.weights[c * kh * kw + i];
    line<int32_t>(b.start)[k] = -sum * zero;
    const int64_t to = ordered ? c - b.first : k;
    line<float>(b.scales)[to] = s.scales[s.scales.size() == 1 ? 0 : size_t(c)];
    line<float>(b.bias)[to] = (s.bias.empty() ? 0.0f : s.bias[size_t(c)]) + s.y_zero_point;
  }
  blocks.push_back(b);
}

Int8Depthwise::Int8Depthwise(const Int8ConvSpec& s) {
  auto plan = std::make_unique<Plan>();
  Plan& p = *plan;
  p.epilogue = int8_conv_epilogue(s);
  ESP_CHECK(!int8_depthwise_refusal(s), "a depthwise convolution that was refused");
  p.spec = s;
  p.flip = s.x_type == DType::i8 ? 0x80 : 0;
  std::fill(std::begin(p.fill.bytes), std::end(p.fill.bytes), uint8_t(s.x_zero_point));
  const bool plain = !s.residual && s.y_type != DType::f32;
  if (plain) p.result = s.y_type == DType::u8 ? Int8DepthwiseResult::kU8 : Int8DepthwiseResult::kI8;
  if (p.epilogue.clamps) {
    p.low = limit_of(p.epilogue.low, s.y_type);
    p.high = limit_of(p.epilogue.high, s.y_type);
  }
  p.chunk = std::min(int8_depthwise_pixels(geometry_of(s)), plain ? s.y[3] : kSumPixels);
  const int64_t channels = s.y[1];
  for (int64_t first = 0; first < channels;) {
    const int64_t left = channels - first;
    const int width = left > 32 && channels >= 64 ? 64 : left > 16 && channels >= 32 ? 32 : 16;
    p.pack({std::min(first, channels - width), width});
    first += width;
  }
  p.spec.weights = nullptr;
  plan_ = std::move(plan);
}

Int8Depthwise::~Int8Depthwise() = default;

size_t Int8Depthwise::packed_bytes() const { return plan_->packed.size() * sizeof(Line); }

void Int8Depthwise::Plan::run_row(const uint8_t* x, const void* residual, void* y, int64_t n,
                                  int64_t row) const {
  const Int8ConvSpec& s = spec;
  const int64_t channels = s.x[1], row_bytes = s.x[3] * channels;
  const size_t y_size = s.y_type == DType::f32 ? 4 : 1;
  const uint8_t* window[kMostRows];
  const uint8_t* rows[kMostRows];
  int64_t steps[kMostRows];
  for (int64_t i = 0; i < s.w[2]; ++i) {
    const int64_t at = row * s.strides[0] + i * s.dilations[0] - s.pads_begin[0];
    const bool inside = at >= 0 && at < s.x[2];
    window[i] = inside ? x + (n * s.x[2] + at) * row_bytes : fill.bytes;
    steps[i] = inside ? channels : 0;
  }
  Int8DepthwiseRow t = geometry_of(s);
  t.rows = rows;
  t.steps = steps;
  t.flip = flip;
  t.fill = fill.bytes[0] ^ flip;
  t.clamps = epilogue.clamps;
  t.low = low;
  t.high = high;
  for (const Block& b : blocks) {
    for (int64_t i = 0; i < s.w[2]; ++i) rows[i] = window[i] + (steps[i] ? b.first : 0);
    t.weights = line<int8_t>(b.weights);
    t.start = line<int32_t>(b.start);
    t.scales = line<float>(b.scales);
    t.bias = line<float>(b.bias);
    for (int64_t pixel = 0; pixel < s.y[3]; pixel += chunk) {
      t.first = pixel * s.strides[1] - s.pads_begin[1];
      t.pixels = std::min(chunk, s.y[3] - pixel);
      const int64_t at = ((n * s.y[2] + row) * s.y[3] + pixel) * channels + b.first;
      char* results = static_cast<char*>(y) + size_t(at) * y_size;
      if (result != Int8DepthwiseResult::kSums) {
        t.y = results;
        t.y_step = channels;
        int8_depthwise_row(t, b.channels, result);
        continue;
      }
      alignas(64) int32_t sums[kSumPixels * 64];
      t.y = sums;
      t.y_step = b.channels;
      int8_depthwise_row(t, b.channels, result);
      Int8Tile tile{};
      tile.scales = t.scales;
      tile.bias = t.bias;
      tile.channels = b.channels;
      tile.stride = channels;
      tile.epilogue = &epilogue;
      tile.y = results;
      tile.residual = residual ? static_cast<const uint8_t*>(residual) + at : nullptr;
      for (int c = 0; c < b.channels; c += 16)
        int8_conv_finish(tile, sums + c, b.channels, c, t.pixels);
    }
  }
}

void Int8Depthwise::run(const void* x, const void* residual, void* y) const {
  const Plan& p = *plan_;
  const Int8ConvSpec& s = p.spec;
  const int64_t work = s.y[3] * s.y[1] * s.w[2] * s.w[3];
  parallel_for(s.x[0] * s.y[2], std::max<int64_t>(1, (1 << 18) / std::max<int64_t>(1, work)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r)
                   p.run_row(static_cast<const uint8_t*>(x), residual, y, r / s.y[2], r % s.y[2]);
               });
}

}  // namespace espalier::kernels

#include "kernels/depthwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "kernels/jit/cut.h"
#include "kernels/max_pool.h"
#include "kernels/simd_math-inl.h"

#ifndef ESPALIER_DEPTHWISE_PLAN
#define ESPALIER_DEPTHWISE_PLAN
namespace espalier::kernels {

struct DepthwiseConv::Plan {
  DType type = DType::f32;  ///< of x and y
  int64_t images = 1, channels = 1;
  PoolAxis rows, columns;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  Weight weight;
  std::optional<Weight> bias;
  size_t x_operand = 0;
  Tensor packed;       ///< weights, KH, KW, C; empty where they come at run time
  Tensor packed_bias;  ///< C; empty where it comes at run time

  int64_t taps() const { return rows.kernel * columns.kernel; }
};

/// Operands of a run, f32 but for x and y.
struct DepthwiseOperands {
  const void* x;
  const float *w, *bias;
  void* y;
};

}  // namespace espalier::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Neighbouring pixels of a row of results, for some of the channels, the first of which pointers
/// are to. `down` leads from a row of the window to the next, `all_channels` from a column.
template <class T>
struct Pixels {
  const T* x;  ///< where the first window begins, which may lie before its row
  int64_t down;
  int64_t rows;           ///< of the window that lie in the source; others add nothing
  uint32_t met;           ///< bit i: column i from x on lies in the source
  const float *w, *bias;  ///< w: of the first row that lies in the source
  float low, high;
  int64_t channels, all_channels;
  T* y;
};

/// As many sums as leave registers for a tap of each column and a column.
constexpr int kMostPixels = HWY_LANES(float) >= 16 ? 14 : 8;

template <class T, int kPixels, class Sum>
HWY_INLINE void each_vector(const Pixels<T>& p, Sum sum) {
  const DF d;
  const auto lanes = int64_t(hn::Lanes(d));
  const VF low = hn::Set(d, p.low), high = hn::Set(d, p.high);
  for (int64_t at = 0; at < p.channels; at += lanes) {
    const int64_t c = std::min(at, p.channels - lanes);  // the last overlaps the one before
    VF acc[kPixels];
    const VF bias = hn::LoadU(d, p.bias + c);
#pragma GCC unroll 16
    for (int i = 0; i < kPixels; ++i) acc[i] = bias;
    sum(acc, c);
#pragma GCC unroll 16
    for (int i = 0; i < kPixels; ++i)
      store_lanes(d, clamp_v(low, high, acc[i]), p.y + i * p.all_channels + c);
  }
}

/// Windows of kWindow columns, a column apart: each column is loaded once for all of them.
template <class T, int kPixels, int kWindow, bool kInside>
void windows(const Pixels<T>& p) {
  constexpr int kColumns = kPixels - 1 + kWindow;
  static_assert(kColumns <= 32);
  const uint32_t met = p.met;
  each_vector<T, kPixels>(p, [&](VF(&acc)[kPixels], int64_t c) HWY_ATTR {
    const DF d;
    const float* w = p.w + c;
    const T* x = p.x + c;
    for (int64_t r = 0; r < p.rows; ++r, x += p.down, w += kWindow * p.all_channels) {
      VF taps[kWindow];
#pragma GCC unroll 8
      for (int k = 0; k < kWindow; ++k) taps[k] = hn::LoadU(d, w + k * p.all_channels);
#pragma GCC unroll 32
      for (int i = 0; i < kColumns; ++i) {
        if (!kInside && (met >> i & 1) == 0) continue;
        const VF v = load_lanes(d, x + i * p.all_channels);
#pragma GCC unroll 8
        for (int k = 0; k < kWindow; ++k)
          if (i >= k && i - k < kPixels) acc[i - k] = hn::MulAdd(v, taps[k], acc[i - k]);
      }
    }
  });
}

template <class T>
using Loop = void (*)(const Pixels<T>&);
/// By the number of pixels less one.
template <class T>
using Loops = std::array<Loop<T>, kMostPixels>;

template <class T, int kWindow, bool kInside, int... kLess>
constexpr Loops<T> loops(std::integer_sequence<int, kLess...> /*all*/) {
  return {windows<T, kLess + 1, kWindow, kInside>...};
}

/// For windows that all lie in the source, or not.
template <class T, int kWindow>
Loop<T> loop_of(int64_t pixels, bool inside) {
  static constexpr std::make_integer_sequence<int, kMostPixels> kAll;
  static constexpr Loops<T> kInside = loops<T, kWindow, true>(kAll);
  static constexpr Loops<T> kAtEdges = loops<T, kWindow, false>(kAll);
  return (inside ? kInside : kAtEdges)[size_t(pixels - 1)];
}

template <class T>
Loop<T> loop_of(int64_t window, int64_t pixels, bool inside) {
  return window == 3   ? loop_of<T, 3>(pixels, inside)
         : window == 5 ? loop_of<T, 5>(pixels, inside)
                       : loop_of<T, 7>(pixels, inside);
}

/// Rows [begin, end) of results, counted over all images, of the channels from `channel` on.
template <class T>
void rows_of(const DepthwiseConv::Plan& plan, const DepthwiseOperands& o, int64_t begin,
             int64_t end, int64_t channel, int64_t channels) {
  const PoolAxis &rows = plan.rows, &columns = plan.columns;
  const Cut blocks = Cut::at_most(columns.out, kMostPixels);
  Pixels<T> p{};
  p.down = rows.dilation * columns.in * plan.channels;
  p.bias = o.bias + channel;
  p.low = plan.low;
  p.high = plan.high;
  p.channels = channels;
  p.all_channels = plan.channels;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t top = row % rows.out * rows.stride - rows.begin;
    const auto inside = [&](int64_t k) {
      return top + k * rows.dilation >= 0 && top + k * rows.dilation < rows.in;
    };
    int64_t first = 0, last = rows.kernel;
    while (first < last && !inside(first)) ++first;
    while (first < last && !inside(last - 1)) --last;
    p.rows = last - first;
    p.w = o.w + first * columns.kernel * plan.channels + channel;
    const int64_t from = row / rows.out * rows.in + top + first * rows.dilation;
    const T* source = static_cast<const T*>(o.x) + from * columns.in * plan.channels + channel;
    T* y = static_cast<T*>(o.y) + row * columns.out * plan.channels + channel;
    for (int64_t b = 0; b < blocks.parts; ++b) {
      const int64_t left = blocks.begin(b) - columns.begin;
      const int64_t reach = blocks.size(b) - 1 + columns.kernel;
      p.x = source + left * plan.channels;
      p.y = y + blocks.begin(b) * plan.channels;
      p.met = 0;
      for (int64_t i = 0; i < reach; ++i)
        p.met |= uint32_t{left + i >= 0 && left + i < columns.in} << i;
      const bool all_inside = left >= 0 && left + reach <= columns.in;
      loop_of<T>(columns.kernel, blocks.size(b), all_inside)(p);
    }
  }
}

template <class T>
void rows_of(const DepthwiseConv::Plan& plan, const DepthwiseOperands& o, int64_t begin,
             int64_t end) {
  // What the windows of a row need shall stay in the first cache for the next row.
  constexpr int64_t kKept = 24 << 10;
  constexpr int64_t kFewest = 256 / int64_t(sizeof(T));  // fewer are fetched slowly
  const auto lanes = int64_t(hn::Lanes(DF()));
  const int64_t a_channel = plan.rows.kernel * plan.columns.in * int64_t(sizeof(T));
  const int64_t fit = kKept / a_channel / lanes * lanes;
  const int64_t at_once = fit >= kFewest ? fit : plan.channels;
  for (int64_t at = 0; at < plan.channels; at += at_once) {
    // The last may overlap those before, so as to fill a vector.
    const int64_t channel = std::min(at, plan.channels - lanes);
    rows_of<T>(plan, o, begin, end, channel, std::min(at_once, plan.channels - channel));
  }
}

void rows_range(const DepthwiseConv::Plan& plan, const DepthwiseOperands& o, int64_t begin,
                int64_t end) {
  if (plan.type == DType::f32) return rows_of<float>(plan, o, begin, end);
  rows_of<bfloat16>(plan, o, begin, end);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(rows_range);

namespace {

/// The most lanes there are.
constexpr int64_t kFewestChannels = 16;

bool served(DType t) { return t == DType::f32 || t == DType::bf16; }

float element(const void* data, DType type, int64_t i) {
  return type == DType::f32 ? static_cast<const float*>(data)[i]
                            : float(static_cast<const bfloat16*>(data)[i]);
}

/// C, taps as taps, C.
void pack(const void* w, DType type, int64_t channels, int64_t taps, float* to) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t k = 0; k < taps; ++k) to[k * channels + c] = element(w, type, c * taps + k);
}

PoolAxis axis_of(const ConvSpec& s, size_t i) {
  return {s.x[i + 2],
          s.y[i + 2],
          s.weight.shape[i + 2],
          s.geometry.strides[i],
          s.geometry.dilations[i],
          s.geometry.pads_begin[i]};
}

}  // namespace

std::string no_depthwise(const ConvSpec& s) {
  if (!served(s.x_type) || s.y_type != s.x_type || !served(s.weight.type))
    return "it is in neither f32 nor bf16";
  if (s.x.size() != 4) return "the operand does not consist of planes";
  if (s.geometry.groups != s.x[1] || s.y[1] != s.x[1]) return "it is not one window per channel";
  if (s.x[1] < kFewestChannels) return "it has few channels";
  const int64_t window = s.weight.shape[3];
  if (window != 3 && window != 5 && window != 7) return "its windows are not 3, 5 or 7 wide";
  if (s.geometry.strides[1] != 1 || s.geometry.dilations[1] != 1)
    return "its windows share no columns, so that oneDNN is as fast";
  if (!s.epilogue.scales.empty()) return "its sum is scaled";
  const auto& steps = s.epilogue.steps;
  if (steps.size() > 1 || (steps.size() == 1 && !bounds_of(steps[0])))
    return "more than bounds follow it";
  return "";
}

DepthwiseConv::DepthwiseConv(const ConvSpec& s) {
  ESP_CHECK(no_depthwise(s).empty(), "a convolution that this kernel does not serve");
  auto plan = std::make_unique<Plan>();
  plan->type = s.x_type;
  plan->images = s.x[0];
  plan->channels = s.x[1];
  plan->rows = axis_of(s, 0);
  plan->columns = axis_of(s, 1);
  if (!s.epilogue.steps.empty()) std::tie(plan->low, plan->high) = *bounds_of(s.epilogue.steps[0]);
  plan->weight = s.weight;
  plan->bias = s.bias;
  plan->x_operand = s.x_operand;
  if (s.weight.constant) {
    plan->packed = Tensor(DType::f32, {plan->taps(), plan->channels});
    pack(s.weight.constant, s.weight.type, plan->channels, plan->taps(),
         plan->packed.mutable_data<float>());
  }
  if (!s.bias || s.bias->constant) plan->packed_bias = Tensor(DType::f32, {plan->channels});
  if (s.bias && s.bias->constant)
    pack(s.bias->constant, s.bias->type, plan->channels, 1,
         plan->packed_bias.mutable_data<float>());
  plan_ = std::move(plan);
}

DepthwiseConv::~DepthwiseConv() = default;

size_t DepthwiseConv::packed_bytes() const {
  return plan_->packed.bytes() + plan_->packed_bias.bytes();
}

size_t DepthwiseConv::scratch_bytes() const {
  const int64_t w = plan_->weight.constant ? 0 : plan_->taps();
  const int64_t b = plan_->bias && !plan_->bias->constant ? 1 : 0;
  return size_t((w + b) * plan_->channels) * sizeof(float);
}

void DepthwiseConv::run(const void* const* operands, void* y, void* scratch) const {
  const Plan& p = *plan_;
  auto* room = static_cast<float*>(scratch);
  DepthwiseOperands o{operands[p.x_operand], nullptr, nullptr, y};
  if (p.weight.constant) {
    o.w = p.packed.data<float>();
  } else {
    pack(operands[p.weight.operand], p.weight.type, p.channels, p.taps(), room);
    o.w = room;
    room += p.taps() * p.channels;
  }
  if (p.bias && !p.bias->constant) {
    pack(operands[p.bias->operand], p.bias->type, p.channels, 1, room);
    o.bias = room;
  } else {
    o.bias = p.packed_bias.data<float>();
  }
  const int64_t each = p.columns.out * p.channels * p.taps();
  const int64_t grain = std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(1, each));
  parallel_for(p.images * p.rows.out, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rows_range)(p, o, begin, end);
  });
}

}  // namespace espalier::kernels
#endif

#include "kernels/jit/pack.h"

#include <algorithm>
#include <string>

#include "kernels/jit/micro_kernel.h"

namespace espalier::kernels {

PackedWeight packed_columns(const MatrixView& b, int64_t panels) {
  const int64_t vectors = (b.n + kGemmLanes - 1) / kGemmLanes;
  const auto write = [&](std::byte* target) {
    float* to = reinterpret_cast<float*>(target);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t first = vectors * p / panels * kGemmLanes;
      const int64_t end = vectors * (p + 1) / panels * kGemmLanes;
      for (int64_t k = 0; k < b.k; ++k)
        for (int64_t n = first; n < end; ++n)
          *to++ = n < b.n ? b.data[k * b.k_stride + n * b.n_stride] : 0.0f;
    }
  };
  std::string form = "panels";
  for (int64_t v : {b.k, b.n, b.k_stride, b.n_stride, panels, int64_t{kGemmLanes}})
    form += " " + std::to_string(v);
  return packed_weight(
      {reinterpret_cast<const std::byte*>(b.data), size_t(b.k * b.n) * sizeof(float)}, {form},
      size_t(vectors * kGemmLanes * b.k) * sizeof(float), write);
}

PackedWeight packed_pairs(const PairedWeights& w, int64_t panels) {
  const int64_t vectors = (w.outputs + kGemmLanes - 1) / kGemmLanes;
  const auto at = [&](int64_t run, int64_t i, int64_t output) -> int16_t {
    if (i >= w.run.length || output >= w.outputs) return 0;
    const int64_t place = (run * w.run.length + i) / w.channels, channel = i % w.channels;
    const int64_t row = place / w.window[1], column = place % w.window[1];
    return w.data[output * w.output_stride + channel * w.channel_stride +
                  row * w.window_strides[0] + column * w.window_strides[1]];
  };
  const auto write = [&](std::byte* target) {
    auto* to = reinterpret_cast<int16_t*>(target);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t first = vectors * p / panels * kGemmLanes;
      const int64_t end = vectors * (p + 1) / panels * kGemmLanes;
      for (int64_t run = 0; run < w.run.count; ++run)
        for (int64_t i = 0; i < 2 * w.run.pairs(); i += 2)
          for (int64_t n = first; n < end; ++n) {
            *to++ = at(run, i, n);
            *to++ = at(run, i + 1, n);
          }
    }
  };
  std::string form = "pairs";
  for (int64_t v : {w.outputs, w.channels, w.output_stride, w.channel_stride, w.window[0],
                    w.window[1], w.window_strides[0], w.window_strides[1], w.run.count,
                    w.run.length, panels, int64_t{kGemmLanes}})
    form += " " + std::to_string(v);
  const int64_t count = w.outputs * w.channels * w.window[0] * w.window[1];
  return packed_weight({reinterpret_cast<const std::byte*>(w.data), size_t(count)}, {form},
                       size_t(vectors * kGemmLanes * w.run.count * w.run.pairs() * 4), write);
}

void pack_rows(const float* a, int64_t stride, int64_t rows, int64_t depth, float* packed) {
  constexpr int64_t kStrip = 16;  // of k: one line of each row
  for (int64_t k0 = 0; k0 < depth; k0 += kStrip) {
    const int64_t end = std::min(depth, k0 + kStrip);
    for (int64_t i = 0; i < rows; ++i) {
      const float* row = a + i * stride;
      for (int64_t k = k0; k < end; ++k) packed[k * rows + i] = row[k];
    }
  }
}

}  // namespace espalier::kernels

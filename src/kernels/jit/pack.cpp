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

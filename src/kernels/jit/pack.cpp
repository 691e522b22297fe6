#include "kernels/jit/pack.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <tuple>

#include "base/fingerprint.h"
#include "kernels/jit/micro_kernel.h"

namespace espalier::kernels {

PackedColumns::PackedColumns(const MatrixView& b, int64_t panels) {
  const int64_t vectors = (b.n + kGemmLanes - 1) / kGemmLanes;
  bytes_ = size_t(vectors * kGemmLanes * b.k) * sizeof(float);
  data_ = static_cast<float*>(std::aligned_alloc(64, std::max<size_t>(bytes_, 64)));
  if (!data_) throw std::bad_alloc();
  float* to = data_;
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t first = vectors * p / panels * kGemmLanes;
    const int64_t end = vectors * (p + 1) / panels * kGemmLanes;
    for (int64_t k = 0; k < b.k; ++k)
      for (int64_t n = first; n < end; ++n)
        *to++ = n < b.n ? b.data[k * b.k_stride + n * b.n_stride] : 0.0f;
  }
}

PackedColumns::~PackedColumns() { std::free(data_); }

namespace {

using Key = std::tuple<Fingerprint, int64_t, int64_t, int64_t, int64_t, int64_t>;
struct Shelf {
  std::mutex mutex;
  std::map<Key, std::weak_ptr<const PackedColumns>> held;
};
Shelf& shelf() {
  static Shelf* const shelf = new Shelf;  // programs may outlive statics
  return *shelf;
}

}  // namespace

std::shared_ptr<const PackedColumns> packed_columns(const MatrixView& b, int64_t panels) {
  // b is dense, either way round.
  const Fingerprint contents = fingerprint(b.data, size_t(b.k * b.n) * sizeof(float));
  const Key key{contents, b.k, b.n, b.k_stride, b.n_stride, panels};
  {
    const std::lock_guard lock(shelf().mutex);
    if (const auto found = shelf().held.find(key); found != shelf().held.end())
      if (auto packed = found->second.lock()) return packed;
  }
  auto packed = std::make_shared<const PackedColumns>(b, panels);
  const std::lock_guard lock(shelf().mutex);
  std::erase_if(shelf().held, [](const auto& entry) { return entry.second.expired(); });
  shelf().held[key] = packed;
  return packed;
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

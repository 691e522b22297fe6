#include "kernels/gather.h"

#include <algorithm>
#include <cstring>

#include "base/threads.h"

namespace espalier::kernels {
namespace {

constexpr int64_t kGrainElements = 1 << 14;

int64_t first_outside(const GatherShape& s, const int64_t* picks) {
  for (int64_t i = 0; i < s.picks; ++i)
    if (picks[i] < -s.extent || picks[i] >= s.extent) return i;
  return -1;
}

int64_t place(const GatherShape& s, int64_t pick) { return pick < 0 ? pick + s.extent : pick; }

template <class T>
void add_slices(const GatherShape& s, const T* dy, const int64_t* picks, T* dx, int64_t begin,
                int64_t end) {
  for (int64_t o = 0; o < s.outer; ++o) {
    for (int64_t row = 0; row < s.extent; ++row) {
      T* to = dx + (o * s.extent + row) * s.run;
      std::fill(to + begin, to + end, T(0.0f));
    }
    for (int64_t i = 0; i < s.picks; ++i) {
      const T* from = dy + (o * s.picks + i) * s.run;
      T* to = dx + (o * s.extent + place(s, picks[i])) * s.run;
#pragma GCC ivdep
      for (int64_t c = begin; c < end; ++c) to[c] = T(float(to[c]) + float(from[c]));
    }
  }
}

}  // namespace

int64_t gather(const GatherShape& s, size_t width, const void* data, const int64_t* picks,
               void* out) {
  if (const int64_t bad = first_outside(s, picks); bad >= 0) return bad;
  const size_t bytes = size_t(s.run) * width;
  const int64_t grain = std::max<int64_t>(1, kGrainElements / std::max<int64_t>(1, s.run));
  parallel_for(s.outer * s.picks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / s.picks * s.extent + place(s, picks[i % s.picks]);
      std::memcpy(static_cast<char*>(out) + size_t(i) * bytes,
                  static_cast<const char*>(data) + size_t(row) * bytes, bytes);
    }
  });
  return -1;
}

// Threads share the columns: each element is summed by one thread in the order of the picks.
int64_t gather_grad(const GatherShape& s, DType type, const void* dy, const int64_t* picks,
                    void* dx) {
  if (const int64_t bad = first_outside(s, picks); bad >= 0) return bad;
  const int64_t rows = std::max<int64_t>(1, s.outer * (s.picks + s.extent));
  constexpr int64_t kLine = 32;  // columns that share cache lines stay together
  const int64_t lines = (s.run + kLine - 1) / kLine;
  parallel_for(lines, std::max<int64_t>(1, kGrainElements / (rows * kLine)),
               [&](int64_t first, int64_t last) {
                 const int64_t begin = first * kLine, end = std::min(s.run, last * kLine);
                 if (type == DType::f32)
                   add_slices(s, static_cast<const float*>(dy), picks, static_cast<float*>(dx),
                              begin, end);
                 else
                   add_slices(s, static_cast<const bfloat16*>(dy), picks,
                              static_cast<bfloat16*>(dx), begin, end);
               });
  return -1;
}

}  // namespace espalier::kernels

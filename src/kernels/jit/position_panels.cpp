#include "kernels/jit/position_panels.h"

#include <algorithm>
#include <cstring>

namespace espalier::kernels {
namespace {

template <class T>
const T* position(const PositionRow<T>& row, int64_t p) {
  return p >= row.first && p < row.last ? row.data + p * row.step : nullptr;
}

}  // namespace

void pack_positions(const PositionRow<float>& row, int64_t count, int64_t lanes, float* to) {
  for (int64_t p = 0; p < count; ++p, to += lanes) {
    const float* const from = position(row, p);
    const int64_t here = from ? row.channels : 0;
    if (here > 0) std::memcpy(to, from, size_t(here) * sizeof(float));
    std::fill(to + here, to + lanes, 0.0f);
  }
}

namespace {

constexpr int64_t kTogether = 16;

/// Words of two channels' numbers, the first in the lower half.
void pair(const bfloat16* __restrict even, const bfloat16* __restrict odd, int64_t count,
          uint32_t* __restrict to) {
  for (int64_t c = 0; c < count; ++c) to[c] = uint32_t{even[c].bits} | uint32_t{odd[c].bits} << 16;
}

}  // namespace

void pack_positions(const PositionRow<bfloat16>& row, int64_t count, int64_t lanes, uint32_t* to) {
  static constexpr bfloat16 kZeros[kTogether] = {};
  const int64_t whole = row.channels / kTogether * kTogether;
  for (int64_t p = 0; p < count; p += 2, to += lanes) {
    const bfloat16* const even = position(row, p);
    const bfloat16* const odd = p + 1 < count ? position(row, p + 1) : nullptr;
    const auto at = [](const bfloat16* channels, int64_t c) {
      return channels ? channels + c : kZeros;
    };
    for (int64_t c = 0; c < whole; c += kTogether) pair(at(even, c), at(odd, c), kTogether, to + c);
    pair(at(even, whole), at(odd, whole), row.channels - whole, to + whole);
    std::fill(to + row.channels, to + lanes, 0);
  }
}

}  // namespace espalier::kernels

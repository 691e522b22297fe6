// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A draw is a pure function of (seed, stream, index), so results depend neither
// on the order of draws nor on the number of threads, and a resumed run needs no generator state.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

namespace espalier {

class Rng {
 public:
  Rng(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  /// 128 random bits for `index`.
  std::array<uint32_t, 4> block(uint64_t index) const {
    std::array<uint32_t, 4> c = {uint32_t(index), uint32_t(index >> 32), uint32_t(stream_),
                                 uint32_t(stream_ >> 32)};
    uint32_t k0 = uint32_t(seed_), k1 = uint32_t(seed_ >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
      c = {uint32_t(p1 >> 32) ^ c[1] ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ k1,
           uint32_t(p0)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c;
  }

  uint64_t bits(uint64_t index) const {
    const auto b = block(index);
    return uint64_t{b[0]} | uint64_t{b[1]} << 32;
  }
  /// Uniform in [0, 1), 53 bits.
  double uniform(uint64_t index) const { return double(bits(index) >> 11) * 0x1.0p-53; }
  double uniform(uint64_t index, double lo, double hi) const {
    return lo + (hi - lo) * uniform(index);
  }
  /// Standard normal (Box-Muller).
  double normal(uint64_t index) const {
    const auto b = block(index);
    const double u = (double(b[0]) + 1.0) * 0x1.0p-32;
    const double v = double(b[1]) * 0x1.0p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
  /// Uniform integer in [0, n).
  uint64_t below(uint64_t index, uint64_t n) const {
    return uint64_t((unsigned __int128)bits(index) * n >> 64);
  }
  /// A permutation of 0..n-1 (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t n) const {
    std::vector<int64_t> p(static_cast<size_t>(n));
    std::iota(p.begin(), p.end(), int64_t{0});
    for (int64_t i = n - 1; i > 0; --i) std::swap(p[i], p[below(uint64_t(i), uint64_t(i + 1))]);
    return p;
  }
  /// An independent stream, so that nested keys never collide by addition.
  Rng fork(uint64_t key) const { return Rng(seed_, Rng(seed_ ^ 0x5DEECE66Du, stream_).bits(key)); }

 private:
  uint64_t seed_, stream_;
};

/// A stream number from a name (FNV-1a), for streams keyed by what they are for.
constexpr uint64_t stream_of(std::string_view name) {
  uint64_t h = 1469598103934665603ull;
  for (char c : name) h = (h ^ uint8_t(c)) * 1099511628211ull;
  return h;
}

}  // namespace espalier

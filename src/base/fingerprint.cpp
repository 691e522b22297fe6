#include "base/fingerprint.h"

#include <bit>
#include <cstring>

namespace espalier {
namespace {

/// The 64-bit finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Each word is mixed with its lane's state by an invertible step, so that no word is lost; four
// lanes keep a core busy.
struct Lanes {
  uint64_t state[4] = {0x243F6A8885A308D3u, 0x13198A2E03707344u, 0xA4093822299F31D0u,
                       0x082EFA98EC4E6C89u};

  void take(size_t lane, uint64_t word) {
    uint64_t x = state[lane] ^ (word * 0x9E3779B97F4A7C15u);
    x ^= x >> 32;
    state[lane] = std::rotl(x * 0xD6E8FEB86659FD93u, 29) + lane;
  }
};

uint64_t word_at(const char* at, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, at, bytes);
  return word;
}

}  // namespace

Fingerprint fingerprint(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  Lanes lanes;
  size_t left = bytes;
  for (; left >= 32; left -= 32, at += 32)
    for (size_t lane = 0; lane < 4; ++lane) lanes.take(lane, word_at(at + 8 * lane, 8));
  for (size_t lane = 0; left > 0; ++lane) {
    const size_t now = left < 8 ? left : 8;
    lanes.take(lane, word_at(at, now));
    at += now;
    left -= now;
  }
  Fingerprint f{mixed(bytes), mixed(~bytes)};
  for (const uint64_t s : lanes.state) {
    f.low = mixed(f.low ^ s);
    f.high = mixed(f.high + std::rotl(s, 32));
  }
  return f;
}

}  // namespace espalier

// A short name for long contents.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace espalier {

/// 128 bits of contents. Different contents agree by chance once in 10^38 pairs; nothing is
/// promised against those who look for two that do.
struct Fingerprint {
  uint64_t low = 0, high = 0;
  auto operator<=>(const Fingerprint&) const = default;
};

Fingerprint fingerprint(const void* data, size_t bytes);

}  // namespace espalier

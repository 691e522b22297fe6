// Offsets in one arena for buffers whose lifetimes are known.
#pragma once

#include <cstddef>
#include <vector>

namespace espalier {

/// Of programs on this machine: a cache line, a vector.
inline constexpr size_t kArenaAlignment = 64;

/// A buffer that is written at step `first` and read last at step `last` (inclusive).
struct BufferLife {
  size_t bytes = 0;
  int first = 0, last = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  ///< one per buffer, multiples of the alignment
  size_t bytes = 0;             ///< size of the arena
};

/// Largest buffers first, each at the lowest offset where it overlaps no buffer alive at the same
/// time (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020,
/// greedy by size).
MemoryPlan plan_memory(const std::vector<BufferLife>& buffers, size_t alignment = kArenaAlignment);

/// The most bytes alive at one step: no plan can be smaller.
size_t lower_bound(const std::vector<BufferLife>& buffers);

}  // namespace espalier

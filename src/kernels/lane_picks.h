// Picking the same elements of every row: a shuffle of channels that lie innermost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace espalier::kernels {

/// Which elements of a row make a row of the result. Immutable, any thread may run it.
class LanePicks {
 public:
  /// `picks` are in [0, extent), elements of `width` bytes (1, 2, 4 or 8); vectors take those of 4.
  LanePicks(int64_t extent, std::span<const int64_t> picks, size_t width);
  ~LanePicks();
  /// x [rows, extent] to y [rows, picks], which do not overlap.
  void run(const void* x, void* y, int64_t rows) const;

  struct Plan;

 private:
  std::unique_ptr<const Plan> plan_;
};

}  // namespace espalier::kernels

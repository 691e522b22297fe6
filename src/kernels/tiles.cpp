#include "kernels/tiles.h"

#include <algorithm>
#include <cstring>

#include "base/threads.h"

namespace espalier::kernels {

void lay_tiles(int64_t batch, const Shape& spatial, const Shape& tile, int64_t channels,
               size_t element, const void* x, void* y) {
  const size_t last = spatial.size() - 1;
  const int64_t width = spatial[last];
  // A line is a tile's along the last axis: neighbours in x and in y.
  const int64_t lines = numel(tile) / tile[last];
  const size_t line = size_t(tile[last] * channels) * element;
  int64_t rows = batch;  // of y, all but its last axis
  for (size_t d = 0; d < last; ++d) rows *= spatial[d] * tile[d];
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, width * line));
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t rest = row, place = 0, within = 0, places = 1, withins = 1;
      for (size_t d = last; d-- > 0;) {
        const int64_t at = rest % (spatial[d] * tile[d]);
        rest /= spatial[d] * tile[d];
        place += at / tile[d] * places;
        within += at % tile[d] * withins;
        places *= spatial[d];
        withins *= tile[d];
      }
      place += rest * places;
      const auto* from = static_cast<const std::byte*>(x) +
                         (size_t(place * width) * size_t(lines) + size_t(within)) * line;
      auto* to = static_cast<std::byte*>(y) + size_t(row * width) * line;
      for (int64_t w = 0; w < width; ++w)
        std::memcpy(to + size_t(w) * line, from + size_t(w * lines) * line, line);
    }
  });
}

}  // namespace espalier::kernels

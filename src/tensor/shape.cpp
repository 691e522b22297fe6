#include "tensor/shape.h"

#include "base/error.h"

namespace espalier {

int64_t numel(std::span<const int64_t> shape) {
  int64_t n = 1;
  for (int64_t d : shape) {
    if (__builtin_mul_overflow(n, d, &n))
      throw bad_input("shape " + to_string(shape), "has more elements than fit 64 bits");
  }
  return n;
}

std::vector<int64_t> strides_of(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

std::string to_string(std::span<const int64_t> shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

int64_t normal_axis(int64_t axis, int64_t rank, const std::string& where) {
  if (axis < -rank || axis >= rank)
    throw bad_input(where, "axis " + std::to_string(axis) + " is outside a tensor of rank " +
                               std::to_string(rank));
  return axis < 0 ? axis + rank : axis;
}

int64_t product(std::span<const int64_t> shape, size_t begin, size_t end) {
  return begin < end ? numel(shape.subspan(begin, end - begin)) : 1;
}

std::vector<int64_t> to_channels_first(int64_t rank) {
  ESP_CHECK(rank >= 2, "channels need a rank of at least 2");
  std::vector<int64_t> p = {0, rank - 1};
  for (int64_t axis = 1; axis + 1 < rank; ++axis) p.push_back(axis);
  return p;
}

std::vector<int64_t> to_channels_last(int64_t rank) {
  ESP_CHECK(rank >= 2, "channels need a rank of at least 2");
  std::vector<int64_t> p = {0};
  for (int64_t axis = 2; axis < rank; ++axis) p.push_back(axis);
  p.push_back(1);
  return p;
}

std::vector<int64_t> broadcast_strides(std::span<const int64_t> from, std::span<const int64_t> to) {
  ESP_CHECK(from.size() <= to.size(), "broadcast to a smaller rank");
  std::vector<int64_t> strides(to.size(), 0);
  const auto own = strides_of(from);
  const size_t lead = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    ESP_CHECK(from[i] == to[lead + i] || from[i] == 1, "shapes do not broadcast");
    strides[lead + i] = from[i] == 1 ? 0 : own[i];
  }
  return strides;
}

}  // namespace espalier

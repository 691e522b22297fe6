#include "ops/shape/move.h"

#include "base/error.h"

namespace espalier::ops {

ElementCopier::ElementCopier(const Tensor& from, Tensor& to)
    : from_(from.raw()),
      to_(to.mutable_raw()),
      size_(size_of(from.dtype())),
      strings_(from.dtype() == DType::string) {
  ESP_CHECK(from.dtype() == to.dtype(), "elements moved into another type");
}

void ElementCopier::operator()(int64_t target, int64_t source, int64_t count) const {
  if (strings_) {
    const auto* first = static_cast<const std::string*>(from_) + source;
    std::copy(first, first + count, static_cast<std::string*>(to_) + target);
    return;
  }
  const char* first = static_cast<const char*>(from_) + size_t(source) * size_;
  char* at = static_cast<char*>(to_) + size_t(target) * size_;
  if (count == 1 && size_ == 4)
    std::memcpy(at, first, 4);
  else
    std::memcpy(at, first, size_t(count) * size_);
}

void copy_block(const Tensor& from, const Strided& source, Tensor& to, const Strided& target,
                std::span<const int64_t> extents) {
  if (numel(extents) == 0) return;
  // Trailing axes contiguous on both sides move as one run.
  size_t rank = extents.size();
  int64_t run = 1;
  while (rank > 0 && (extents[rank - 1] == 1 ||
                      (source.strides[rank - 1] == run && target.strides[rank - 1] == run)))
    run *= extents[--rank];
  const ElementCopier copy(from, to);
  const auto leading = [&](const std::vector<int64_t>& strides) {
    return std::vector<int64_t>(strides.begin(), strides.begin() + std::ptrdiff_t(rank));
  };
  for_each_offset<2>(extents.first(rank), {leading(source.strides), leading(target.strides)},
                     [&](int64_t, const std::array<int64_t, 2>& at) {
                       copy(target.offset + at[1], source.offset + at[0], run);
                     });
}

void require_index_type(const TypesIn& in, size_t i) {
  if (in[i].dtype != DType::i64 && in[i].dtype != DType::i32)
    in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) +
            ", i64 or i32 indices are needed");
}

int64_t checked_index(int64_t index, int64_t extent, const char* where) {
  if (index < -extent || index >= extent)
    throw bad_input(where, "index " + std::to_string(index) + " is outside an axis of extent " +
                               std::to_string(extent));
  return index < 0 ? index + extent : index;
}

Dims checked_extents(const TypesIn& in, std::span<const int64_t> extents) {
  for (int64_t d : extents)
    if (d < 0) in.fail("the shape " + to_string(extents) + " has a negative extent");
  return Dims(extents.begin(), extents.end());
}

AxisMap moved_axes(const TypesIn& in, std::span<const std::pair<int64_t, int64_t>> axes) {
  AxisMap map;
  for (const auto& [from, to] : axes) {
    const Dim& extent = in[0].dims[size_t(from)];
    if (extent.known())
      map.ties.push_back({extent.value(), {AxisPlace::in(0, from), AxisPlace::out(0, to)}});
  }
  return map;
}

AxisMap reshaped_axes(const TensorType& from_type, const TensorType& to_type) {
  AxisMap map;
  if (!from_type.is_static() || !to_type.is_static()) return map;
  const Shape from = from_type.shape(), to = to_type.shape();
  size_t i = 0, j = 0;
  while (i < from.size() && j < to.size()) {
    size_t i_end = i + 1, j_end = j + 1;
    int64_t p = from[i], q = to[j];
    while (p != q) {
      if (p < q && i_end < from.size())
        p *= from[i_end++];
      else if (q < p && j_end < to.size())
        q *= to[j_end++];
      else
        return map;
    }
    if (p == 0) return map;
    // Extents of 1 may belong to either side; they tie to nothing.
    const bool split = i_end - i == 1, merge = j_end - j == 1;
    if (split && merge) {
      map.ties.push_back({from[i], {AxisPlace::in(0, int64_t(i)), AxisPlace::out(0, int64_t(j))}});
    } else if (merge || split) {
      const Shape& parts = merge ? from : to;
      const size_t begin = merge ? i : j, end = merge ? i_end : j_end;
      int64_t outer = 1;
      for (size_t axis = begin; axis < end; ++axis) {
        const int64_t inner = product(parts, axis + 1, end);
        const AxisPlace part =
            merge ? AxisPlace::in(0, int64_t(axis)) : AxisPlace::out(0, int64_t(axis));
        const AxisPlace whole = merge ? AxisPlace::out(0, int64_t(j), inner, outer)
                                      : AxisPlace::in(0, int64_t(i), inner, outer);
        if (parts[axis] > 1) map.ties.push_back({parts[axis], {part, whole}});
        outer *= parts[axis];
      }
    }
    i = i_end;
    j = j_end;
  }
  return map;
}

}  // namespace espalier::ops

// Operators that move elements without changing them, of any element type.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "kernels/transpose.h"

namespace espalier::bind {
namespace {

KernelPtr strided_copy(const BindRequest& r, std::string name, std::vector<int64_t> strides,
                       int64_t offset = 0) {
  const size_t width = size_of(r.in_dtype(0));
  auto kernel = function_kernel(std::move(name), [strides = std::move(strides), offset, width,
                                                  shape = r.out_shape(0)](const KernelArgs& k) {
    const char* x = static_cast<const char*>(k.in[0]) + offset * int64_t(width);
    kernels::copy_strided(x, k.out[0], shape, strides, width);
  });
  for (size_t i = 1; i < r.in.size(); ++i)
    if (r.in.has(i)) kernel->absorbed.push_back(int(i));
  return kernel;
}

Bound bind_transpose(const BindRequest& r) {
  const Shape x = r.in_shape(0);
  std::vector<int64_t> perm = AttributeReader(*r.room, r.attrs).list("perm", 0, 0);
  if (perm.empty()) {
    perm.assign(x.size(), 0);
    std::iota(perm.rbegin(), perm.rend(), int64_t{0});
  }
  const auto own = strides_of(x);
  std::vector<int64_t> strides, order;
  for (int64_t p : perm) {
    strides.push_back(own[size_t(p)]);
    if (x[size_t(p)] != 1) order.push_back(p);
  }
  // Channels to the other end and the layout the other way round: the bytes stay.
  const auto rank = int64_t(x.size());
  if (rank >= 4 && perm == to_channels_first(rank) && r.layout(0) == Layout::kPlain) {
    auto kernel = view_kernel("view");
    kernel->result_layouts = {Layout::kChannelsLast};
    return kernel;
  }
  if (rank >= 4 && perm == to_channels_last(rank) && r.layout(0) == Layout::kChannelsLast) {
    auto kernel = view_kernel("view");
    kernel->operand_layouts = {Layout::kChannelsLast};
    return kernel;
  }
  // Only extents of 1 move: the bytes stay.
  if (std::is_sorted(order.begin(), order.end())) return view_kernel("view");
  // The last two axes swap: matrices.
  const size_t n = x.size();
  bool matrices = n >= 2 && perm[n - 1] == int64_t(n) - 2 && perm[n - 2] == int64_t(n) - 1;
  for (size_t d = 0; d + 2 < n && matrices; ++d) matrices = perm[d] == int64_t(d);
  if (matrices) {
    const int64_t batch = product(x, 0, n - 2), rows = x[n - 2], columns = x[n - 1];
    return function_kernel(
        "transpose", [batch, rows, columns, width = size_of(r.in_dtype(0))](const KernelArgs& k) {
          kernels::transpose_matrices(k.in[0], k.out[0], batch, rows, columns, width);
        });
  }
  return strided_copy(r, "transpose", strides);
}

Bound bind_expand(const BindRequest& r) {
  return strided_copy(r, "expand", broadcast_strides(r.in_shape(0), r.out_shape(0)));
}

Bound bind_slice(const BindRequest& r) {
  const auto starts = r.in.ints(1), ends = r.in.ints(2);
  const auto axes = r.in.has(3) ? r.in.ints(3) : std::nullopt;
  const auto steps = r.in.has(4) ? r.in.ints(4) : std::nullopt;
  if (!starts || !ends || (r.in.has(3) && !axes) || (r.in.has(4) && !steps))
    return Refuse{"the slice is not known at compile time"};
  const Shape x = r.in_shape(0);
  auto strides = strides_of(x);
  int64_t offset = 0;
  for (size_t i = 0; i < starts->size(); ++i) {
    int64_t axis = axes ? (*axes)[i] : int64_t(i);
    if (axis < 0) axis += int64_t(x.size());
    const int64_t step = steps ? (*steps)[i] : 1, extent = x[size_t(axis)];
    int64_t first = (*starts)[i] < 0 ? (*starts)[i] + extent : (*starts)[i];
    first = std::clamp<int64_t>(first, 0, step > 0 ? extent : std::max<int64_t>(0, extent - 1));
    offset += first * strides[size_t(axis)];
    strides[size_t(axis)] *= step;
  }
  return strided_copy(r, "slice", strides, offset);
}

/// Bytes from one axis on, and how often they repeat.
struct Blocks {
  int64_t count, bytes;
};
Blocks blocks_from(const Shape& shape, size_t axis, DType type) {
  return {product(shape, 0, axis), product(shape, axis, shape.size()) * int64_t(size_of(type))};
}

/// The axis as it lies in memory under a layout.
size_t physical_axis(int64_t axis, size_t rank, Layout layout) {
  if (axis < 0) axis += int64_t(rank);
  if (layout == Layout::kPlain || rank < 3 || axis == 0) return size_t(axis);
  return axis == 1 ? rank - 1 : size_t(axis) - 1;
}

Bound bind_concat(const BindRequest& r) {
  // The layout most of the operands stand in.
  const auto last = std::count(r.layouts.begin(), r.layouts.end(), Layout::kChannelsLast);
  const Layout layout = 2 * size_t(last) > r.in.size() ? Layout::kChannelsLast : Layout::kPlain;
  const Shape y = r.out_shape(0);
  const size_t axis =
      physical_axis(AttributeReader(*r.room, r.attrs).integer("axis", 0), y.size(), layout);
  const Blocks whole = blocks_from(physical_shape(y, layout), axis, r.out_dtype(0));
  std::vector<int64_t> parts;
  for (size_t i = 0; i < r.in.size(); ++i)
    parts.push_back(blocks_from(physical_shape(r.in_shape(i), layout), axis, r.in_dtype(i)).bytes);
  auto kernel = function_kernel("concat", [whole, parts](const KernelArgs& k) {
    char* y = static_cast<char*>(k.out[0]);
    for (int64_t b = 0; b < whole.count; ++b)
      for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i] > 0)
          std::memcpy(y, static_cast<const char*>(k.in[i]) + b * parts[i], size_t(parts[i]));
        y += parts[i];
      }
  });
  kernel->operand_layouts.assign(r.in.size(), layout);
  kernel->result_layouts = {layout};
  return kernel;
}

Bound bind_split(const BindRequest& r) {
  const Layout layout = r.layout(0);
  const Shape x = r.in_shape(0);
  const size_t axis =
      physical_axis(AttributeReader(*r.room, r.attrs).integer("axis", 0), x.size(), layout);
  const Blocks whole = blocks_from(physical_shape(x, layout), axis, r.in_dtype(0));
  std::vector<int64_t> parts;
  for (size_t i = 0; i < r.out.size(); ++i) {
    if (!r.wanted[i]) return Refuse{"a piece is not asked for"};
    parts.push_back(
        blocks_from(physical_shape(r.out_shape(i), layout), axis, r.out_dtype(i)).bytes);
  }
  auto kernel = function_kernel("split", [whole, parts](const KernelArgs& k) {
    const char* x = static_cast<const char*>(k.in[0]);
    for (int64_t b = 0; b < whole.count; ++b)
      for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i] > 0)
          std::memcpy(static_cast<char*>(k.out[i]) + b * parts[i], x, size_t(parts[i]));
        x += parts[i];
      }
  });
  kernel->operand_layouts = {layout, Layout::kPlain};
  kernel->result_layouts.assign(r.out.size(), layout);
  if (r.in.has(1)) kernel->absorbed = {1};
  return kernel;
}

}  // namespace

Entries movement_entries() {
  return {{"Transpose", {"transpose", bind_transpose}},
          {"Expand", {"expand", bind_expand}},
          {"Slice", {"slice", bind_slice}},
          {"Concat", {"concat", bind_concat}},
          {"Split", {"split", bind_split}}};
}

}  // namespace espalier::bind

// Operators that move elements without changing them, of any element type.
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <optional>

#include "base/threads.h"
#include "bind/attribute_reader.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "kernels/quantise.h"
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

/// What stands at one place of a concatenation.
struct Piece {
  size_t operand = 0;
  int64_t bytes = 0;                                   ///< of each block
  std::optional<std::array<uint8_t, 256>> table = {};  ///< what its bytes become
};

KernelPtr concat_kernel(const BindRequest& r, int64_t axis, std::vector<Piece> pieces,
                        std::string name) {
  // The layout most of the operands stand in.
  const auto last = std::count(r.layouts.begin(), r.layouts.end(), Layout::kChannelsLast);
  const Layout layout = 2 * size_t(last) > r.in.size() ? Layout::kChannelsLast : Layout::kPlain;
  const Shape y = r.out_shape(0);
  const size_t at = physical_axis(axis, y.size(), layout);
  const Blocks whole = blocks_from(physical_shape(y, layout), at, r.out_dtype(0));
  for (Piece& p : pieces)
    p.bytes =
        blocks_from(physical_shape(r.in_shape(p.operand), layout), at, r.in_dtype(p.operand)).bytes;
  const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, whole.bytes));
  auto kernel = function_kernel(std::move(name),
                                [whole, grain, pieces = std::move(pieces)](const KernelArgs& k) {
                                  parallel_for(whole.count, grain, [&](int64_t begin, int64_t end) {
                                    auto* y = k.write<uint8_t>(0) + begin * whole.bytes;
                                    for (int64_t b = begin; b < end; ++b)
                                      for (const Piece& p : pieces) {
                                        const auto* x = k.read<uint8_t>(p.operand) + b * p.bytes;
                                        if (p.table)
                                          for (int64_t i = 0; i < p.bytes; ++i)
                                            y[i] = (*p.table)[x[i]];
                                        else if (p.bytes > 0)
                                          std::memcpy(y, x, size_t(p.bytes));
                                        y += p.bytes;
                                      }
                                  });
                                });
  kernel->operand_layouts.assign(r.in.size(), layout);
  kernel->result_layouts = {layout};
  return kernel;
}

Bound bind_concat(const BindRequest& r) {
  std::vector<Piece> pieces(r.in.size());
  for (size_t i = 0; i < pieces.size(); ++i) pieces[i].operand = i;
  return concat_kernel(r, AttributeReader(*r.room, r.attrs).integer("axis", 0), std::move(pieces),
                       "concat");
}

bool is_8bit(DType t) { return t == DType::u8 || t == DType::i8; }

/// What quantising the number behind each byte gives.
std::array<uint8_t, 256> requantised(const QuantParams& from, const QuantParams& to) {
  std::array<float, 256> numbers;
  for (int byte = 0; byte < 256; ++byte) {
    const int x = from.type == DType::i8 ? int(int8_t(byte)) : byte;
    numbers[size_t(byte)] = float(x - from.zero_points[0]) * from.scales[0];
  }
  std::array<uint8_t, 256> table;
  kernels::quantise(numbers.data(), {to.type, to.scales[0], to.zero_points[0]}, table.data(), 256);
  return table;
}

/// A concatenation of 8-bit numbers that is quantised again: each byte becomes another.
Bound bind_stored_concat(const BindRequest& r) {
  const auto parsed = contraction_of(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& c = std::get<Contraction>(parsed);
  if (c.room->full_name() != "Concat") return Refuse{"the region is around " + c.room->op.name};
  const auto stored = [](const std::optional<QuantParams>& q) {
    return q && q->scales.size() == 1 && is_8bit(q->type);
  };
  if (!stored(c.quantized) || !c.steps.empty())
    return Refuse{"the result is not quantised to 8 bits with one scale"};
  std::vector<Piece> pieces;
  for (const auto& operand : c.operands) {
    if (!operand || operand->outer < 0 || !stored(operand->quant))
      return Refuse{"an operand is not quantised to 8 bits with one scale"};
    Piece& p = pieces.emplace_back(Piece{size_t(operand->outer)});
    const auto table = requantised(*operand->quant, *c.quantized);
    std::array<uint8_t, 256> same;
    std::iota(same.begin(), same.end(), uint8_t{0});
    if (table != same) p.table = table;
  }
  return concat_kernel(r, AttributeReader(*c.room, c.attrs).integer("axis", 0), std::move(pieces),
                       "concat quantised");
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
          {"espalier.Fused", {"concat quantised", bind_stored_concat}},
          {"Split", {"split", bind_split}}};
}

}  // namespace espalier::bind

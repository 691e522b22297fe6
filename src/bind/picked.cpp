// Operators whose result is elements of the operand, and perhaps one constant, moved: which goes
// where is asked of the operator's reference, once, with the elements' own numbers.
#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "ir/reference.h"

namespace espalier::bind {
namespace {

/// Elements that stand in a row in operand and result.
struct Run {
  int64_t from = 0;  ///< negative: the constant
  int64_t to = 0, count = 0;
};

/// Calls f(position of each element in memory) in the order of the dimensions.
template <class F>
void for_each_position(const Shape& shape, Layout layout, F f) {
  const auto strides = layout_strides(shape, layout);
  Shape at(shape.size(), 0);
  int64_t position = 0;
  for (int64_t i = 0, n = numel(shape); i < n; ++i) {
    f(position);
    for (size_t d = shape.size(); d-- > 0;) {
      position += strides[d];
      if (++at[d] < shape[d]) break;
      position -= at[d] * strides[d];
      at[d] = 0;
    }
  }
}

std::vector<Run> runs_of(const Tensor& numbers, Layout layout) {
  std::vector<int64_t> from(size_t(numbers.size()));
  const auto* number = numbers.data<int64_t>();
  for_each_position(numbers.shape(), layout,
                    [&](int64_t position) { from[size_t(position)] = *number++ - 1; });
  std::vector<Run> runs;
  for (size_t i = 0; i < from.size(); ++i) {
    const bool goes_on =
        !runs.empty() &&
        (from[i] < 0 ? runs.back().from < 0
                     : runs.back().from >= 0 && runs.back().from + runs.back().count == from[i]);
    if (goes_on)
      ++runs.back().count;
    else
      runs.push_back({from[i], int64_t(i), 1});
  }
  return runs;
}

struct Picked {
  std::vector<Run> runs;
  std::vector<std::byte> constant;  ///< one element
  bool zero = true;                 ///< it is nothing but zeros
};

void copy_runs(const Picked& p, const void* x, void* y) {
  const size_t width = p.constant.size();
  const auto* from = static_cast<const std::byte*>(x);
  auto* to = static_cast<std::byte*>(y);
  parallel_for(int64_t(p.runs.size()), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Run& run = p.runs[size_t(i)];
      std::byte* at = to + size_t(run.to) * width;
      const size_t bytes = size_t(run.count) * width;
      if (run.from >= 0)
        std::memcpy(at, from + size_t(run.from) * width, bytes);
      else if (p.zero)
        std::memset(at, 0, bytes);
      else
        for (size_t k = 0; k < bytes; k += width) std::memcpy(at + k, p.constant.data(), width);
    }
  });
}

/// `value`: the operand that is the constant; negative: there is none.
Bound bind_picked(const BindRequest& r, int value) {
  constexpr int64_t kMost = 1 << 22;  // asking takes some thirty bytes for each
  const Shape x = r.in_shape(0), y = r.out_shape(0);
  if (r.in_dtype(0) == DType::string) return Refuse{"the elements are strings"};
  if (numel(x) == 0 || numel(x) + numel(y) > kMost) return Refuse{"it is empty, or large"};
  const Layout layout = r.layout(0);
  Tensor numbers(DType::i64, x), none(DType::i64, {});
  none.mutable_data<int64_t>()[0] = 0;
  auto* number = numbers.mutable_data<int64_t>();
  for_each_position(x, layout, [&](int64_t position) { *number++ = position + 1; });
  std::vector<const Tensor*> operands = {&numbers};
  Picked picked;
  picked.constant.assign(size_of(r.in_dtype(0)), std::byte{0});
  for (size_t i = 1; i < r.in.size(); ++i) {
    const Tensor* known = r.in.constant(i);
    if (r.in.has(i) && !known) return Refuse{"an operand is not known at compile time"};
    if (known && int(i) == value) {
      std::memcpy(picked.constant.data(), known->raw(), picked.constant.size());
      known = &none;
    }
    operands.push_back(known);
  }
  picked.zero = std::ranges::all_of(picked.constant, [](std::byte b) { return b == std::byte{0}; });
  picked.runs = runs_of(run_reference(*r.room, r.attrs, operands, r.in.where())[0], layout);
  const size_t bytes = picked.runs.size() * sizeof(Run);
  auto kernel = function_kernel("picked", [picked = std::move(picked)](const KernelArgs& k) {
    copy_runs(picked, k.in[0], k.out[0]);
  });
  kernel->packed_bytes = bytes;
  kernel->operand_layouts.assign(r.in.size(), Layout::kPlain);
  kernel->operand_layouts[0] = layout;
  kernel->result_layouts = {layout};
  for (size_t i = 1; i < r.in.size(); ++i)
    if (r.in.has(i)) kernel->absorbed.push_back(int(i));
  return kernel;
}

Bound bind_pad(const BindRequest& r) {
  constexpr int kPaddingValue = 2;
  return bind_picked(r, kPaddingValue);
}

Bound bind_resize(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  if (a.get<std::string>("mode", "nearest") != "nearest") return Refuse{"it interpolates"};
  if (a.get<std::string>("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize")
    return Refuse{"it puts a constant beside the picture"};
  return bind_picked(r, -1);
}

}  // namespace

Entries picked_entries() {
  return {{"Pad", {"picked", bind_pad}}, {"Resize", {"picked", bind_resize}}};
}

}  // namespace espalier::bind

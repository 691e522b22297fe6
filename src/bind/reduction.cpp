// Reductions over neighbouring axes, and sums over all axes but the channels'.
#include "kernels/reduce.h"

#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "kernels/batch_norm.h"

namespace espalier::bind {
namespace {

std::variant<std::vector<bool>, Refuse> reduced_axes(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const int64_t rank = r.in[0].rank();
  std::vector<int64_t> axes = a.list("axes", 0, 0);
  if (r.in.has(1)) {
    const auto known = r.in.ints(1);
    if (!known) return Refuse{"the axes are not known at compile time"};
    axes = *known;
  }
  if (axes.empty() && a.integer("noop_with_empty_axes", 0)) return Refuse{"nothing is reduced"};
  std::vector<bool> mask(size_t(rank), axes.empty());
  for (int64_t axis : axes) mask[size_t(axis < 0 ? axis + rank : axis)] = true;
  return mask;
}

/// [outer, count, inner] if the reduced axes are neighbours (extents of 1 aside).
std::optional<kernels::ReduceShape> as_one_axis(const Shape& shape, const std::vector<bool>& mask,
                                                DType type) {
  kernels::ReduceShape s{type, 1, 1, 1};
  int part = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    if (part == 0 && mask[d]) part = 1;
    if (part == 1 && !mask[d]) part = 2;
    if (part == 2 && mask[d]) return std::nullopt;
    (part == 0 ? s.outer : part == 1 ? s.count : s.inner) *= shape[d];
  }
  return s;
}

template <kernels::Reduction how>
Bound bind_reduce(const BindRequest& r) {
  const DType type = r.in_dtype(0);
  if (type != DType::f32 && type != DType::bf16)
    return Refuse{"the operand is " + std::string(name_of(type))};
  const auto axes = reduced_axes(r);
  if (auto* no = std::get_if<Refuse>(&axes)) return *no;
  const auto& mask = std::get<std::vector<bool>>(axes);
  const Shape shape = r.in_shape(0);
  if (numel(shape) == 0) return Refuse{"the operand is empty"};
  KernelPtr kernel;
  if (const auto s = as_one_axis(shape, mask, type)) {
    kernel = function_kernel(
        "reduce", [s = *s](const KernelArgs& k) { kernels::reduce(how, s, k.in[0], k.out[0]); });
  } else if (how == kernels::Reduction::kSum && type == DType::f32 && shape.size() >= 3) {
    // All axes but the second: rows of channels.
    for (size_t d = 0; d < shape.size(); ++d)
      if (mask[d] == (d == 1)) return Refuse{"the reduced axes are not neighbours"};
    const kernels::BatchNormShape rows{type, numel(shape) / shape[1], shape[1]};
    kernel = function_kernel("reduce to channels", [rows](const KernelArgs& k) {
      kernels::sum_rows(rows, k.in[0], 1, k.write<float>(0), k.scratch);
    });
    kernel->scratch_bytes = kernels::batch_norm_scratch(rows);
    kernel->operand_layouts = {Layout::kChannelsLast};
  } else {
    return Refuse{"the reduced axes are not neighbours"};
  }
  if (r.in.has(1)) kernel->absorbed = {1};
  return kernel;
}

}  // namespace

Entries reduction_entries() {
  using kernels::Reduction;
  return {{"ReduceSum", {"reduce", bind_reduce<Reduction::kSum>}},
          {"ReduceMean", {"reduce", bind_reduce<Reduction::kMean>}},
          {"ReduceMax", {"reduce", bind_reduce<Reduction::kMax>}},
          {"ReduceMin", {"reduce", bind_reduce<Reduction::kMin>}},
          {"ReduceSumSquare", {"reduce", bind_reduce<Reduction::kSumSquare>}}};
}

}  // namespace espalier::bind

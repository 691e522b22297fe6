// Reductions over any axes, one run of neighbours after the other.
#include "kernels/reduce.h"

#include <algorithm>

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

/// The runs of neighbouring reduced axes (extents of 1 aside), innermost first: each is reduced in
/// what the one before it left, in f32 until the last.
std::vector<kernels::ReduceShape> runs_of(const Shape& shape, const std::vector<bool>& mask,
                                          DType type) {
  std::vector<kernels::ReduceShape> runs;
  int64_t kept = 1;  // extents inside the run that stay
  bool inside = false;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] == 1) continue;
    if (mask[d]) {
      if (!inside) runs.push_back({.type = DType::f32, .inner = kept, .result = DType::f32});
      runs.back().count *= shape[d];
    } else {
      kept *= shape[d];
    }
    inside = mask[d];
  }
  if (runs.empty()) runs.push_back({.inner = kept});
  runs.front().type = runs.back().result = type;
  int64_t left = numel(shape);
  for (kernels::ReduceShape& run : runs) {
    run.outer = left / (run.count * run.inner);
    left /= run.count;
  }
  return runs;
}

/// What the runs after the first do with the first one's results.
kernels::Reduction join_of(kernels::Reduction how) {
  return how == kernels::Reduction::kSumSquare ? kernels::Reduction::kSum : how;
}

int64_t results_of(const kernels::ReduceShape& run) { return run.outer * run.inner; }

KernelPtr reduce_runs(kernels::Reduction how, std::vector<kernels::ReduceShape> runs) {
  int64_t between = 0;  // floats of all intermediate results
  for (size_t i = 0; i + 1 < runs.size(); ++i) between += results_of(runs[i]);
  auto kernel = function_kernel("reduce", [how, runs = std::move(runs)](const KernelArgs& k) {
    const void* x = k.in[0];
    float* next = static_cast<float*>(k.scratch);
    for (size_t i = 0; i < runs.size(); ++i) {
      void* y = i + 1 < runs.size() ? next : k.out[0];
      kernels::reduce(i == 0 ? how : join_of(how), runs[i], x, y);
      x = y;
      next += results_of(runs[i]);
    }
  });
  kernel->scratch_bytes = size_t(between) * sizeof(float);
  return kernel;
}

/// Sums over all axes but the channels' of a tensor whose channels are innermost.
KernelPtr sum_to_channels(const Shape& shape, DType type) {
  const kernels::BatchNormShape rows{type, numel(shape) / shape[1], shape[1]};
  const size_t scratch = kernels::batch_norm_scratch(rows);
  auto kernel = function_kernel("reduce to channels", [rows, scratch](const KernelArgs& k) {
    if (rows.type == DType::f32)
      return kernels::sum_rows(rows, k.in[0], 1, k.write<float>(0), k.scratch);
    float* sums = reinterpret_cast<float*>(static_cast<std::byte*>(k.scratch) + scratch);
    kernels::sum_rows(rows, k.in[0], 1, sums, k.scratch);
    std::transform(sums, sums + rows.channels, k.write<bfloat16>(0),
                   [](float sum) { return bfloat16(sum); });
  });
  kernel->scratch_bytes =
      scratch + (type == DType::f32 ? 0 : size_t(rows.channels) * sizeof(float));
  kernel->operand_layouts = {Layout::kChannelsLast};
  return kernel;
}

bool all_but_channels(const std::vector<bool>& mask) {
  for (size_t d = 0; d < mask.size(); ++d)
    if (mask[d] == (d == 1)) return false;
  return mask.size() >= 3;
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
  const bool channels_last = !layouts_agree(shape, r.layout(0), Layout::kPlain);
  KernelPtr kernel = how == kernels::Reduction::kSum && channels_last && all_but_channels(mask)
                         ? sum_to_channels(shape, type)
                         : reduce_runs(how, runs_of(shape, mask, type));
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

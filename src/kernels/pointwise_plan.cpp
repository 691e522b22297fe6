#include "kernels/pointwise_plan.h"

#include <algorithm>

#include "base/error.h"

namespace espalier::kernels {
namespace {

using Plan = PointwiseKernel::Plan;

constexpr int64_t kTile = 512;  // f32 elements of a tile buffer: 2 KiB
constexpr int64_t kLargestTile = 2048;

/// Drops extents of 1 and merges neighbours that every operand walks as one.
void merge_dimensions(PointwiseChain& c) {
  Shape shape;
  std::vector<std::vector<int64_t>> strides(c.operands.size());
  for (size_t d = 0; d < c.shape.size(); ++d) {
    if (c.shape[d] == 1) continue;
    bool joins = !shape.empty();
    for (size_t o = 0; o < c.operands.size() && joins; ++o)
      joins = strides[o].back() == c.operands[o].strides[d] * c.shape[d];
    if (joins) {
      shape.back() *= c.shape[d];
      for (size_t o = 0; o < c.operands.size(); ++o) strides[o].back() = c.operands[o].strides[d];
    } else {
      shape.push_back(c.shape[d]);
      for (size_t o = 0; o < c.operands.size(); ++o) strides[o].push_back(c.operands[o].strides[d]);
    }
  }
  if (shape.empty()) {
    shape.push_back(1);
    for (auto& s : strides) s.push_back(1);
  }
  c.shape = shape;
  for (size_t o = 0; o < c.operands.size(); ++o) c.operands[o].strides = strides[o];
}

bool contiguous(const Shape& shape, const std::vector<int64_t>& strides) {
  return strides == strides_of(shape);
}

/// The innermost dimensions that fit a tile; tiles hold a whole number of such blocks.
int64_t tile_of(const Shape& shape) {
  int64_t block = 1;
  for (size_t d = shape.size(); d-- > 0 && block * shape[d] <= kLargestTile;) block *= shape[d];
  return block >= kTile ? block : std::max<int64_t>(1, kTile / block) * block;
}

/// The operand's elements depend on the position in the tile alone.
bool same_in_tiles(const Shape& shape, const std::vector<int64_t>& strides, int64_t tile) {
  int64_t inner = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (strides[d] != 0 && tile % (inner * shape[d]) != 0) return false;
    inner *= shape[d];
  }
  return true;
}

/// Buffers are given back when their value has been read for the last time.
void assign_slots(Plan& p, const PointwiseChain& c) {
  const int operands = int(c.operands.size());
  std::vector<int> last(size_t(operands) + c.steps.size(), -1);
  for (size_t k = 0; k < c.steps.size(); ++k)
    for (int a : c.steps[k].args)
      if (a >= 0) last[size_t(a)] = int(k);
  for (const auto& r : c.results) last[size_t(r.value)] = int(c.steps.size());
  std::vector<int> free;
  const auto take = [&] {
    if (free.empty()) return p.slots++;
    const int s = free.back();
    free.pop_back();
    return s;
  };
  for (auto& o : p.operands)
    if (o.access != Plan::Access::kDirect) o.slot = p.slots++;
  for (size_t k = 0; k < p.steps.size(); ++k) {
    if (p.steps[k].into_result < 0) p.steps[k].slot = take();
    for (int a : p.steps[k].args) {
      const bool step = a >= operands;
      if (!step || last[size_t(a)] != int(k)) continue;
      const int slot = p.steps[size_t(a - operands)].slot;
      if (slot >= 0 && std::find(free.begin(), free.end(), slot) == free.end())
        free.push_back(slot);
    }
  }
}

}  // namespace

bool pointwise_handles(DType t) {
  return t == DType::f32 || t == DType::bf16 || t == DType::boolean || t == DType::u8 ||
         t == DType::i8;
}

PointwiseKernel::PointwiseKernel(PointwiseChain c) {
  auto plan = std::make_unique<Plan>();
  Plan& p = *plan;
  p.count = numel(c.shape);
  if (p.count > 0) merge_dimensions(c);
  p.shape = c.shape;
  p.tile = p.count > 0 ? tile_of(c.shape) : 1;
  for (const PointwiseOperand& o : c.operands) {
    ESP_CHECK(pointwise_handles(o.type), "a pointwise operand of a type lanes lack");
    Plan::Access access = Plan::Access::kWalk;
    if (p.count == 0 || contiguous(p.shape, o.strides))
      access = o.type == DType::f32 ? Plan::Access::kDirect : Plan::Access::kConvert;
    else if (same_in_tiles(p.shape, o.strides, p.tile))
      access = Plan::Access::kTile;
    p.operands.push_back({o.type, access, o.strides, -1});
  }
  const int operands = int(c.operands.size());
  for (const PointwiseStep& s : c.steps)
    p.steps.push_back({s.op, {s.args[0], s.args[1], s.args[2]}, -1, -1});
  for (const auto& [value, type, for_nan] : c.results) {
    ESP_CHECK(pointwise_handles(type), "a pointwise result of a type lanes lack");
    const bool direct = type == DType::f32 && !p.steps.empty() &&
                        value == operands + int(p.steps.size()) - 1 &&
                        p.steps.back().into_result < 0;
    if (direct) p.steps.back().into_result = int(p.results.size());
    p.results.push_back({value, type, for_nan, direct});
  }
  assign_slots(p, c);
  plan_ = std::move(plan);
}

PointwiseKernel::~PointwiseKernel() = default;

bool PointwiseKernel::covers(size_t operand) const {
  return contiguous(plan_->shape, plan_->operands[operand].strides);
}

}  // namespace espalier::kernels

#include "runtime/memory_plan.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace espalier {
namespace {

size_t aligned(size_t bytes, size_t alignment = kArenaAlignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

MemoryPlan plan_memory(const std::vector<BufferLife>& buffers, size_t alignment) {
  MemoryPlan plan;
  plan.offsets.assign(buffers.size(), 0);
  std::vector<size_t> by_size(buffers.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  std::vector<size_t> placed;  // by offset
  for (size_t id : by_size) {
    const BufferLife& b = buffers[id];
    if (b.bytes == 0) continue;
    size_t offset = 0;
    for (size_t other : placed) {
      const BufferLife& o = buffers[other];
      if (o.last < b.first || b.last < o.first) continue;
      if (offset + aligned(b.bytes, alignment) <= plan.offsets[other]) break;
      offset = std::max(offset, plan.offsets[other] + aligned(o.bytes, alignment));
    }
    plan.offsets[id] = offset;
    plan.bytes = std::max(plan.bytes, offset + aligned(b.bytes, alignment));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), id,
                         [&](size_t x, size_t y) { return plan.offsets[x] < plan.offsets[y]; }),
        id);
  }
  return plan;
}

size_t lower_bound(const std::vector<BufferLife>& buffers) {
  std::map<int, long long> change;
  for (const BufferLife& b : buffers) {
    change[b.first] += (long long)(aligned(b.bytes));
    change[b.last + 1] -= (long long)(aligned(b.bytes));
  }
  long long alive = 0, most = 0;
  for (const auto& [step, delta] : change) most = std::max(most, alive += delta);
  return size_t(most);
}

}  // namespace espalier

#include "kernels/lane_picks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lane_picks.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <vector>

#ifndef ESPALIER_LANE_PICKS
#define ESPALIER_LANE_PICKS
namespace espalier::kernels {

/// The most lanes there are.
constexpr int64_t kMostLanes = 16;

/// A vector of a result's row: each lane from one of two vectors of the source's.
struct PickedVector {
  int64_t to = 0;
  std::array<int64_t, 2> from = {0, 0};
  alignas(64) std::array<std::array<int32_t, kMostLanes>, 2> lanes = {};
  alignas(64) std::array<int32_t, kMostLanes> second = {};  ///< all bits set: from the second
};

struct LanePicks::Plan {
  int64_t extent = 0;
  size_t width = 4;
  std::vector<int64_t> picks;
  std::vector<PickedVector> vectors;
  std::vector<int64_t> singles;  ///< places of the result that no vector reaches
};

}  // namespace espalier::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using DI = hn::ScalableTag<int32_t>;

int64_t lanes() { return int64_t(hn::Lanes(DI())); }

void pick_rows(const LanePicks::Plan& p, const int32_t* x, int32_t* y, int64_t rows) {
  const DI d;
  const auto picks = int64_t(p.picks.size());
  for (int64_t r = 0; r < rows; ++r, x += p.extent, y += picks) {
    for (const PickedVector& v : p.vectors) {
      const auto first = hn::TableLookupLanes(hn::LoadU(d, x + v.from[0]),
                                              hn::SetTableIndices(d, v.lanes[0].data()));
      const auto second = hn::TableLookupLanes(hn::LoadU(d, x + v.from[1]),
                                               hn::SetTableIndices(d, v.lanes[1].data()));
      const auto chosen = hn::MaskFromVec(hn::Load(d, v.second.data()));
      hn::StoreU(hn::IfThenElse(chosen, second, first), d, y + v.to);
    }
    for (const int64_t i : p.singles) y[i] = x[p.picks[size_t(i)]];
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"
#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(lanes);
HWY_EXPORT(pick_rows);

namespace {

/// The vector of the result from `to` on; false where its elements lie in more than two places.
bool take_vector(std::span<const int64_t> picks, int64_t extent, int64_t lanes, PickedVector& v) {
  const auto part = picks.subspan(size_t(v.to), size_t(lanes));
  const int64_t last = extent - lanes;
  const int64_t least = std::ranges::min(part);
  v.from[0] = std::min(least, last);
  const auto beyond = [&](int64_t pick) { return pick >= v.from[0] + lanes; };
  int64_t next = extent;
  for (const int64_t pick : part)
    if (beyond(pick)) next = std::min(next, pick);
  v.from[1] = std::min(next, last);
  for (size_t i = 0; i < part.size(); ++i) {
    const bool second = beyond(part[i]);
    const int64_t lane = part[i] - v.from[second];
    if (lane >= lanes) return false;
    v.lanes[second][i] = int32_t(lane);
    v.second[i] = second ? -1 : 0;
  }
  return true;
}

template <class T>
void pick_singly(const LanePicks::Plan& p, const void* x, void* y, int64_t begin, int64_t end) {
  const auto picks = int64_t(p.picks.size());
  const T* from = static_cast<const T*>(x) + begin * p.extent;
  T* to = static_cast<T*>(y) + begin * picks;
  for (int64_t r = begin; r < end; ++r, from += p.extent, to += picks)
    for (int64_t i = 0; i < picks; ++i) to[i] = from[p.picks[size_t(i)]];
}

}  // namespace

LanePicks::LanePicks(int64_t extent, std::span<const int64_t> picks, size_t width) {
  ESP_CHECK(width == 1 || width == 2 || width == 4 || width == 8, "elements of another width");
  auto plan = std::make_unique<Plan>();
  plan->extent = extent;
  plan->width = width;
  plan->picks.assign(picks.begin(), picks.end());
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(lanes)(), count = int64_t(picks.size());
  if (width != 4 || lanes > kMostLanes || extent < lanes || count < lanes) {
    for (int64_t i = 0; i < count; ++i) plan->singles.push_back(i);
  } else {
    for (int64_t at = 0; at < count; at += lanes) {
      PickedVector v;
      v.to = std::min(at, count - lanes);  // the last overlaps the one before
      if (take_vector(picks, extent, lanes, v))
        plan->vectors.push_back(v);
      else
        for (int64_t i = v.to; i < v.to + lanes; ++i) plan->singles.push_back(i);
    }
  }
  plan_ = std::move(plan);
}

LanePicks::~LanePicks() = default;

void LanePicks::run(const void* x, void* y, int64_t rows) const {
  const Plan& p = *plan_;
  const auto picks = int64_t(p.picks.size());
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, picks));
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    if (p.width == 1) return pick_singly<uint8_t>(p, x, y, begin, end);
    if (p.width == 2) return pick_singly<uint16_t>(p, x, y, begin, end);
    if (p.width == 8) return pick_singly<uint64_t>(p, x, y, begin, end);
    HWY_DYNAMIC_DISPATCH(pick_rows)
    (p, static_cast<const int32_t*>(x) + begin * p.extent, static_cast<int32_t*>(y) + begin * picks,
     end - begin);
  });
}

}  // namespace espalier::kernels
#endif

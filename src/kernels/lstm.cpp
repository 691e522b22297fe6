#include "kernels/lstm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lstm.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kLanes = hn::MaxLanes(DF());
static_assert(kLanes <= size_t(kLstmUnits), "a block of units holds whole vectors");
constexpr size_t kVectors = size_t(kLstmColumns) / kLanes;
// Sequences at a time: as many sums as there are registers for.
constexpr int64_t kRows = kLanes >= 16 ? 4 : 1;

/// sums[r] = from_input + h R for one block, `rows` sequences from `first` on.
template <int64_t rows>
void gates_of(const LstmRun& a, const float* h, const float* from_input, int64_t block,
              int64_t first, float (*sums)[kLstmColumns]) {
  const DF d;
  const int64_t columns = lstm_columns(a.hidden);
  VF sum[rows][kVectors];
  for (int64_t r = 0; r < rows; ++r)
    for (size_t v = 0; v < kVectors; ++v)
      sum[r][v] = hn::LoadU(
          d, from_input + (first + r) * columns + block * kLstmColumns + int64_t(v * kLanes));
  const float* w = a.recurrent + block * a.hidden * kLstmColumns;
  const float* state = h + first * a.hidden;
  for (int64_t k = 0; k < a.hidden; ++k, w += kLstmColumns)
    for (int64_t r = 0; r < rows; ++r) {
      const VF x = hn::Set(d, state[r * a.hidden + k]);
      for (size_t v = 0; v < kVectors; ++v)
        sum[r][v] = hn::MulAdd(x, hn::LoadU(d, w + v * kLanes), sum[r][v]);
    }
  for (int64_t r = 0; r < rows; ++r)
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, sums[r] + v * kLanes);
}

// c' = f c + i tanh(g),  h' = o tanh(c').
void cell(const float* gates, float* c, float* h) {
  const DF d;
  for (size_t u = 0; u < size_t(kLstmUnits); u += kLanes) {
    const auto gate = [&](size_t g)
                          HWY_ATTR { return hn::LoadU(d, gates + g * size_t(kLstmUnits) + u); };
    const VF i = sigmoid_v(d, gate(0)), o = sigmoid_v(d, gate(1)), f = sigmoid_v(d, gate(2));
    const VF next = hn::MulAdd(f, hn::LoadU(d, c + u), hn::Mul(i, tanh_v(d, gate(3))));
    hn::StoreU(next, d, c + u);
    hn::StoreU(hn::Mul(o, tanh_v(d, next)), d, h + u);
  }
}

void finish_row(const LstmRun& a, const float* gates, int64_t block, int64_t row, float* next,
                float* y) {
  const int64_t unit = block * kLstmUnits;
  const auto bytes = size_t(std::min(kLstmUnits, a.hidden - unit)) * sizeof(float);
  float c[kLstmUnits] = {}, h[kLstmUnits];
  std::memcpy(c, a.c + row * a.hidden + unit, bytes);
  cell(gates, c, h);
  std::memcpy(a.c + row * a.hidden + unit, c, bytes);
  std::memcpy(next + row * a.hidden + unit, h, bytes);
  if (y) std::memcpy(y + row * a.y_row + unit, h, bytes);
}

void step(const LstmRun& a, const float* h, const float* from_input, float* next, float* y,
          int64_t begin, int64_t end) {
  float sums[kRows][kLstmColumns];
  for (int64_t block = begin; block < end; ++block)
    for (int64_t row = 0; row < a.batch;) {
      const int64_t rows = a.batch - row >= kRows ? kRows : 1;
      if (rows == kRows)
        gates_of<kRows>(a, h, from_input, block, row, sums);
      else
        gates_of<1>(a, h, from_input, block, row, sums);
      for (int64_t r = 0; r < rows; ++r) finish_row(a, sums[r], block, row + r, next, y);
      row += rows;
    }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {

HWY_EXPORT(step);

int64_t lstm_columns(int64_t hidden) {
  return (hidden + kLstmUnits - 1) / kLstmUnits * kLstmColumns;
}

namespace {

int64_t column_of(int64_t gate, int64_t unit) {
  return unit / kLstmUnits * kLstmColumns + gate * kLstmUnits + unit % kLstmUnits;
}

}  // namespace

std::vector<float> lstm_by_columns(const float* rows, int64_t hidden, int64_t width) {
  const int64_t columns = lstm_columns(hidden);
  std::vector<float> out(size_t(width * columns), 0.0f);
  for (int64_t gate = 0; gate < 4; ++gate)
    for (int64_t unit = 0; unit < hidden; ++unit)
      for (int64_t k = 0; k < width; ++k)
        out[size_t(k * columns + column_of(gate, unit))] = rows[(gate * hidden + unit) * width + k];
  return out;
}

std::vector<float> lstm_blocks(const float* rows, int64_t hidden) {
  std::vector<float> out(size_t(lstm_columns(hidden) * hidden), 0.0f);
  for (int64_t gate = 0; gate < 4; ++gate)
    for (int64_t unit = 0; unit < hidden; ++unit) {
      const int64_t column = column_of(gate, unit);
      float* block = out.data() + column / kLstmColumns * hidden * kLstmColumns;
      for (int64_t k = 0; k < hidden; ++k)
        block[k * kLstmColumns + column % kLstmColumns] = rows[(gate * hidden + unit) * hidden + k];
    }
  return out;
}

void lstm_run(const LstmRun& a) {
  const int64_t columns = lstm_columns(a.hidden), blocks = columns / kLstmColumns;
  // A thread should have enough to do to be worth its waking up.
  constexpr int64_t kLeastWork = 1 << 15;
  const int64_t grain =
      std::max<int64_t>(1, kLeastWork / std::max<int64_t>(1, a.batch * a.hidden * kLstmColumns));
  float *h = a.h, *next = a.spare;
  for (int64_t i = 0; i < a.time; ++i) {
    const int64_t t = a.backwards ? a.time - 1 - i : i;
    const float* from_input = a.from_input + t * a.batch * columns;
    float* y = a.y ? a.y + t * a.y_step : nullptr;
    parallel_for(blocks, grain, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(step)(a, h, from_input, next, y, begin, end);
    });
    std::swap(h, next);
  }
  if (h != a.h) std::memcpy(a.h, h, size_t(a.batch * a.hidden) * sizeof(float));
}

}  // namespace espalier::kernels
#endif

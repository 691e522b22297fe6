#include "kernels/recurrent.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/recurrent.cpp"
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
static_assert(kLanes <= size_t(kRecurrentUnits), "a block of units holds whole vectors");
// Sequences at a time: as many sums as there are registers for.
constexpr int64_t kRows = kLanes >= 16 ? 4 : 1;
constexpr int64_t kMostGates = 4;

/// One gate's numbers of one block for one sequence.
using Units = float[kRecurrentUnits];
/// Those of all gates for the sequences of one pass.
using Gates = Units[kMostGates];

/// What the kernel needs to know of one step.
struct Step {
  const RecurrentRun& a;
  const float* h;                                      ///< before
  float* from_input;                                   ///< of this step
  float* next;                                         ///< h after
  float* y;                                            ///< of this step, or null
  int64_t width = gates_of(a.cell) * kRecurrentUnits;  ///< columns of a block
  int64_t columns = recurrent_columns(a.cell, a.hidden);

  float* inputs(int64_t row, int64_t block, int64_t gate) const {
    return from_input + row * columns + block * width + gate * kRecurrentUnits;
  }
  /// How many units of a block there are.
  size_t units(int64_t block) const {
    return size_t(std::min(kRecurrentUnits, a.hidden - block * kRecurrentUnits));
  }
  void load(const float* from, int64_t row, int64_t block, Units& to) const {
    std::memcpy(to, from + row * a.hidden + block * kRecurrentUnits, units(block) * sizeof(float));
  }
  void store(const Units& from, float* to, int64_t row_size, int64_t row, int64_t block) const {
    std::memcpy(to + row * row_size + block * kRecurrentUnits, from, units(block) * sizeof(float));
  }
  void finish(const Units& h_next, int64_t row, int64_t block) const {
    store(h_next, next, a.hidden, row, block);
    if (y) store(h_next, y, a.y_row, row, block);
  }
};

/// sums[r][gate + i] = start + state R for `gates` gates of one block from `gate` on, `rows`
/// sequences from `first` on. `start` gives the 16 gates numbers of the first sequence.
template <int64_t rows, int64_t gates>
void multiply(const Step& s, const float* state, int64_t block, int64_t first, int64_t gate,
              const float* start, int64_t start_row, Gates* sums) {
  constexpr size_t kVectors = size_t(gates * kRecurrentUnits) / kLanes;
  const DF d;
  VF sum[rows][kVectors];
  for (int64_t r = 0; r < rows; ++r)
    for (size_t v = 0; v < kVectors; ++v)
      sum[r][v] = hn::LoadU(d, start + r * start_row + int64_t(v * kLanes));
  const int64_t hidden = s.a.hidden;
  const float* w = s.a.recurrent + block * hidden * s.width + gate * kRecurrentUnits;
  const float* h = state + first * hidden;
  for (int64_t k = 0; k < hidden; ++k, w += s.width)
    for (int64_t r = 0; r < rows; ++r) {
      const VF x = hn::Set(d, h[r * hidden + k]);
      for (size_t v = 0; v < kVectors; ++v)
        sum[r][v] = hn::MulAdd(x, hn::LoadU(d, w + v * kLanes), sum[r][v]);
    }
  for (int64_t r = 0; r < rows; ++r)
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, &sums[r][gate][0] + v * kLanes);
}

/// The same with the inputs' part as the start.
template <int64_t rows, int64_t gates>
void multiply_inputs(const Step& s, const float* state, int64_t block, int64_t first, int64_t gate,
                     Gates* sums) {
  multiply<rows, gates>(s, state, block, first, gate, s.inputs(first, block, gate), s.columns,
                        sums);
}

/// out[u] = f(u) for whole vectors of units.
template <class F>
HWY_INLINE void for_units(Units& out, F f) {
  const DF d;
  for (size_t u = 0; u < size_t(kRecurrentUnits); u += kLanes) hn::StoreU(f(d, u), d, out + u);
}

// h' = n + z (h - n)
void blend(const Units& z, const Units& fresh, Units& h) {
  for_units(h, [&](DF d, size_t u) HWY_ATTR {
    const VF n = hn::LoadU(d, fresh + u);
    return hn::MulAdd(hn::LoadU(d, z + u), hn::Sub(hn::LoadU(d, h + u), n), n);
  });
}

template <int64_t rows>
void lstm(const Step& s, int64_t block, int64_t first) {
  Gates sums[rows];
  multiply_inputs<rows, 4>(s, s.h, block, first, 0, sums);
  for (int64_t r = 0; r < rows; ++r) {
    Units c = {}, h;
    s.load(s.a.c, first + r, block, c);
    const Gates& g = sums[r];
    for_units(c, [&](DF d, size_t u) HWY_ATTR {
      const VF i = sigmoid_v(d, hn::LoadU(d, g[0] + u)), f = sigmoid_v(d, hn::LoadU(d, g[2] + u));
      return hn::MulAdd(f, hn::LoadU(d, c + u), hn::Mul(i, tanh_v(d, hn::LoadU(d, g[3] + u))));
    });
    for_units(h, [&](DF d, size_t u) HWY_ATTR {
      return hn::Mul(sigmoid_v(d, hn::LoadU(d, g[1] + u)), tanh_v(d, hn::LoadU(d, c + u)));
    });
    s.store(c, s.a.c, s.a.hidden, first + r, block);
    s.finish(h, first + r, block);
  }
}

template <int64_t rows>
void rnn(const Step& s, int64_t block, int64_t first) {
  Gates sums[rows];
  multiply_inputs<rows, 1>(s, s.h, block, first, 0, sums);
  for (int64_t r = 0; r < rows; ++r) {
    Units h;
    for_units(h, [&](DF d, size_t u) HWY_ATTR { return tanh_v(d, hn::LoadU(d, sums[r][0] + u)); });
    s.finish(h, first + r, block);
  }
}

template <int64_t rows>
void gru_linear(const Step& s, int64_t block, int64_t first) {
  Gates sums[rows];
  multiply_inputs<rows, 2>(s, s.h, block, first, 0, sums);
  multiply<rows, 1>(s, s.h, block, first, 2, s.a.state_bias + block * kRecurrentUnits, 0, sums);
  for (int64_t r = 0; r < rows; ++r) {
    const Gates& g = sums[r];
    const float* input = s.inputs(first + r, block, 2);
    Units z, fresh, h = {};
    s.load(s.h, first + r, block, h);
    for_units(z, [&](DF d, size_t u) HWY_ATTR { return sigmoid_v(d, hn::LoadU(d, g[0] + u)); });
    for_units(fresh, [&](DF d, size_t u) HWY_ATTR {
      const VF reset = sigmoid_v(d, hn::LoadU(d, g[1] + u));
      return tanh_v(d, hn::MulAdd(reset, hn::LoadU(d, g[2] + u), hn::LoadU(d, input + u)));
    });
    blend(z, fresh, h);
    s.finish(h, first + r, block);
  }
}

/// z, which takes the place of its input part, and r h.
template <int64_t rows>
void gru_reset(const Step& s, int64_t block, int64_t first) {
  Gates sums[rows];
  multiply_inputs<rows, 2>(s, s.h, block, first, 0, sums);
  for (int64_t r = 0; r < rows; ++r) {
    const Gates& g = sums[r];
    Units z, h = {};
    s.load(s.h, first + r, block, h);
    for_units(z, [&](DF d, size_t u) HWY_ATTR { return sigmoid_v(d, hn::LoadU(d, g[0] + u)); });
    std::memcpy(s.inputs(first + r, block, 0), z, sizeof z);
    for_units(h, [&](DF d, size_t u) HWY_ATTR {
      return hn::Mul(sigmoid_v(d, hn::LoadU(d, g[1] + u)), hn::LoadU(d, h + u));
    });
    s.store(h, s.a.reset, s.a.hidden, first + r, block);
  }
}

template <int64_t rows>
void gru_finish(const Step& s, int64_t block, int64_t first) {
  Gates sums[rows];
  multiply_inputs<rows, 1>(s, s.a.reset, block, first, 2, sums);
  for (int64_t r = 0; r < rows; ++r) {
    Units z, fresh, h = {};
    s.load(s.h, first + r, block, h);
    std::memcpy(z, s.inputs(first + r, block, 0), sizeof z);
    for_units(fresh,
              [&](DF d, size_t u) HWY_ATTR { return tanh_v(d, hn::LoadU(d, sums[r][2] + u)); });
    blend(z, fresh, h);
    s.finish(h, first + r, block);
  }
}

/// Blocks [begin, end), all sequences: kRows at a time, then one by one.
template <class Many, class One>
void over(const Step& s, int64_t begin, int64_t end, Many many, One one) {
  for (int64_t block = begin; block < end; ++block)
    for (int64_t row = 0; row < s.a.batch;) {
      const bool whole = s.a.batch - row >= kRows;
      if (whole)
        many(s, block, row);
      else
        one(s, block, row);
      row += whole ? kRows : 1;
    }
}

/// One step, or the part of it before (phase 0) or after all units know r h.
void step(const Step& s, int phase, int64_t begin, int64_t end) {
  switch (s.a.cell) {
    case Cell::kLstm: return over(s, begin, end, lstm<kRows>, lstm<1>);
    case Cell::kRnn: return over(s, begin, end, rnn<kRows>, rnn<1>);
    case Cell::kGruLinear: return over(s, begin, end, gru_linear<kRows>, gru_linear<1>);
    case Cell::kGru:
      if (phase == 0) return over(s, begin, end, gru_reset<kRows>, gru_reset<1>);
      return over(s, begin, end, gru_finish<kRows>, gru_finish<1>);
  }
}

void run_step(const RecurrentRun& a, const float* h, float* from_input, float* next, float* y,
              int phase, int64_t begin, int64_t end) {
  step({a, h, from_input, next, y}, phase, begin, end);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {

HWY_EXPORT(run_step);

int64_t gates_of(Cell cell) {
  switch (cell) {
    case Cell::kLstm: return 4;
    case Cell::kGru:
    case Cell::kGruLinear: return 3;
    case Cell::kRnn: return 1;
  }
  return 0;
}

int64_t recurrent_columns(Cell cell, int64_t hidden) {
  return (hidden + kRecurrentUnits - 1) / kRecurrentUnits * gates_of(cell) * kRecurrentUnits;
}

namespace {

/// Where the blocks of a cell have a gate's unit.
struct Column {
  int64_t block, at;  ///< at: column of the block
};
Column column_of(Cell cell, int64_t gate, int64_t unit) {
  return {unit / kRecurrentUnits, gate * kRecurrentUnits + unit % kRecurrentUnits};
}

}  // namespace

std::vector<float> recurrent_by_columns(Cell cell, const float* rows, int64_t hidden,
                                        int64_t width) {
  const int64_t columns = recurrent_columns(cell, hidden),
                block_width = gates_of(cell) * kRecurrentUnits;
  std::vector<float> out(size_t(width * columns), 0.0f);
  for (int64_t gate = 0; gate < gates_of(cell); ++gate)
    for (int64_t unit = 0; unit < hidden; ++unit) {
      const Column c = column_of(cell, gate, unit);
      for (int64_t k = 0; k < width; ++k)
        out[size_t(k * columns + c.block * block_width + c.at)] =
            rows[(gate * hidden + unit) * width + k];
    }
  return out;
}

Tensor recurrent_blocks(Cell cell, const float* rows, int64_t hidden) {
  const int64_t block_width = gates_of(cell) * kRecurrentUnits;
  Tensor out(DType::f32, {recurrent_columns(cell, hidden) * hidden});
  for (int64_t gate = 0; gate < gates_of(cell); ++gate)
    for (int64_t unit = 0; unit < hidden; ++unit) {
      const Column c = column_of(cell, gate, unit);
      float* block = out.mutable_data<float>() + c.block * hidden * block_width;
      for (int64_t k = 0; k < hidden; ++k)
        block[k * block_width + c.at] = rows[(gate * hidden + unit) * hidden + k];
    }
  return out;
}

void recurrent_run(const RecurrentRun& a) {
  const int64_t columns = recurrent_columns(a.cell, a.hidden),
                width = gates_of(a.cell) * kRecurrentUnits, blocks = columns / width;
  // A thread should have enough to do to be worth its waking up.
  constexpr int64_t kLeastWork = 1 << 15;
  const int64_t grain =
      std::max<int64_t>(1, kLeastWork / std::max<int64_t>(1, a.batch * a.hidden * width));
  const int phases = a.cell == Cell::kGru ? 2 : 1;
  float *h = a.h, *next = a.spare;
  for (int64_t i = 0; i < a.time; ++i) {
    const int64_t t = a.backwards ? a.time - 1 - i : i;
    float* from_input = a.from_input + t * a.batch * columns;
    float* y = a.y ? a.y + t * a.y_step : nullptr;
    for (int phase = 0; phase < phases; ++phase)
      parallel_for(blocks, grain, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(run_step)(a, h, from_input, next, y, phase, begin, end);
      });
    std::swap(h, next);
  }
  if (h != a.h) std::memcpy(a.h, h, size_t(a.batch * a.hidden) * sizeof(float));
}

}  // namespace espalier::kernels
#endif

#include "kernels/recurrent.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/recurrent.cpp"
#include "kernels/simd.h"
//
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "kernels/simd_math-inl.h"

#ifndef ESPALIER_RECURRENT_ROWS
#define ESPALIER_RECURRENT_ROWS
namespace espalier::kernels {
/// Sequences that are computed together and share what is read of the weights.
constexpr int64_t kRows = 4;
}  // namespace espalier::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kLanes = hn::MaxLanes(DF());
static_assert(kLanes <= size_t(kRecurrentUnits), "a block of units holds whole vectors");
constexpr int64_t kMostGates = 4;
// Sums that there are registers for, beside those of a weight and a state.
constexpr int64_t kMostSums = kLanes >= 16 ? 24 : 12;

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
  bool back;                                           ///< the blocks in descending order
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
  if constexpr (gates > 1 && rows * gates * kRecurrentUnits / int64_t(kLanes) > kMostSums) {
    constexpr int64_t half = gates / 2;
    multiply<rows, half>(s, state, block, first, gate, start, start_row, sums);
    multiply<rows, gates - half>(s, state, block, first, gate + half,
                                 start + half * kRecurrentUnits, start_row, sums);
    return;
  }
  constexpr size_t kPerGate = size_t(kRecurrentUnits) / kLanes, kVectors = gates * kPerGate;
  const DF d;
  VF sum[rows][kVectors];
  for (int64_t r = 0; r < rows; ++r)
    for (size_t v = 0; v < kVectors; ++v)
      sum[r][v] = hn::LoadU(d, start + r * start_row + int64_t(v * kLanes));
  const int64_t hidden = s.a.hidden;
  const int64_t of_gate = hidden * kRecurrentUnits;
  const float* w = s.a.recurrent + block * hidden * s.width + gate * of_gate;
  const float* h = state + first * hidden;
  for (int64_t k = 0; k < hidden; ++k, w += kRecurrentUnits)
    for (int64_t r = 0; r < rows; ++r) {
      const VF x = hn::Set(d, h[r * hidden + k]);
      for (size_t v = 0; v < kVectors; ++v) {
        const float* at = w + int64_t(v / kPerGate) * of_gate + v % kPerGate * kLanes;
        sum[r][v] = hn::MulAdd(x, hn::LoadU(d, at), sum[r][v]);
      }
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

/// Each block and sequence of the part, kRows sequences at a time, then one by one.
template <class Many, class One>
void over(const Step& s, const RecurrentPart& p, Many many, One one) {
  for (int64_t i = 0; i < p.blocks.size(); ++i) {
    const int64_t block = s.back ? p.blocks.end - 1 - i : p.blocks.begin + i;
    for (int64_t row = p.rows.begin; row < p.rows.end;) {
      const bool whole = p.rows.end - row >= kRows;
      if (whole)
        many(s, block, row);
      else
        one(s, block, row);
      row += whole ? kRows : 1;
    }
  }
}

/// Reads `count` floats ahead, all at once: what another core has written comes line by line where
/// a loop finds it missing.
void fetch(const float* x, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(float), kMost = 2048;
  for (int64_t i = 0; i < std::min(count, kMost); i += kLine) hwy::Prefetch(x + i);
}

/// One step, or the part of it before (phase 0) or after all units know r h.
void step(const Step& s, int phase, const RecurrentPart& p) {
  switch (s.a.cell) {
    case Cell::kLstm: return over(s, p, lstm<kRows>, lstm<1>);
    case Cell::kRnn: return over(s, p, rnn<kRows>, rnn<1>);
    case Cell::kGruLinear: return over(s, p, gru_linear<kRows>, gru_linear<1>);
    case Cell::kGru:
      if (phase == 0) return over(s, p, gru_reset<kRows>, gru_reset<1>);
      return over(s, p, gru_finish<kRows>, gru_finish<1>);
  }
}

void run_step(const RecurrentRun& a, const float* h, float* from_input, float* next, float* y,
              bool back, int phase, const RecurrentPart& p) {
  const Step s{a, h, from_input, next, y, back};
  fetch((phase == 0 ? h : a.reset) + p.rows.begin * a.hidden, p.rows.size() * a.hidden);
  step(s, phase, p);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/parallel_steps.h"
#include "base/threads.h"
#include "kernels/jit/space.h"

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
        block[(gate * hidden + k) * kRecurrentUnits + unit % kRecurrentUnits] =
            rows[(gate * hidden + unit) * hidden + k];
    }
  return out;
}

namespace {

/// Whether threads may as well read all of the weight as a part of it: the whole stays in their
/// second cache, or not even the part does.
bool whole_weight_each(const RecurrentRun& a) {
  static const int64_t room = gemm_device().l2_bytes / 4 * 3;
  const int64_t bytes = recurrent_columns(a.cell, a.hidden) * a.hidden * int64_t(sizeof(float));
  return bytes <= room || bytes / num_threads() > room;
}

}  // namespace

void recurrent_run(const RecurrentRun& a) {
  const int64_t columns = recurrent_columns(a.cell, a.hidden),
                width = gates_of(a.cell) * kRecurrentUnits, blocks = columns / width;
  const int phases = a.cell == Cell::kGru ? 2 : 1;
  const auto state = [&](int64_t i) { return i % 2 == 0 ? a.h : a.spare; };
  const auto run = [&](int64_t step, const RecurrentPart& part) {
    const int64_t i = step / phases, t = a.backwards ? a.time - 1 - i : i;
    // Weights are read there and back: where they exceed the cache, a step begins with those that
    // the one before ended with. In one direction they would push each other out.
    const bool back = i % 2 == 1;
    HWY_DYNAMIC_DISPATCH(run_step)
    (a, state(i), a.from_input + t * a.batch * columns, state(i + 1),
     a.y ? a.y + t * a.y_step : nullptr, back, int(step % phases), part);
  };
  if (a.batch >= kRows * num_threads() && whole_weight_each(a)) {
    // Sequences have nothing to do with each other: no step waits for another thread.
    parallel_for(a.batch, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t step = 0; step < a.time * phases; ++step) run(step, {{0, blocks}, {begin, end}});
    });
  } else {
    // A thread should have enough to do to be worth its waking up.
    constexpr int64_t kLeastWork = 1 << 15;
    const int64_t grain =
        std::max<int64_t>(1, kLeastWork / std::max<int64_t>(1, a.batch * a.hidden * width));
    parallel_steps(a.time * phases, blocks, grain, [&](int64_t step, int64_t begin, int64_t end) {
      run(step, {{begin, end}, {0, a.batch}});
    });
  }
  const float* h = state(a.time);
  if (h != a.h) std::memcpy(a.h, h, size_t(a.batch * a.hidden) * sizeof(float));
}

}  // namespace espalier::kernels
#endif

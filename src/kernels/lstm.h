// The recurrence of an LSTM over all its steps, in f32.
//
// Weights are arranged in blocks of 16 units, the gates i, o, f, c of a block side by side: 64
// columns, so that one pass over the state gives a block all it needs. A block is computed by one
// thread in one order.
#pragma once

#include <cstdint>
#include <vector>

namespace espalier::kernels {

inline constexpr int64_t kLstmUnits = 16, kLstmColumns = 4 * kLstmUnits;

/// Columns of `hidden` units in blocks; those of missing units are zero.
int64_t lstm_columns(int64_t hidden);
/// [4 hidden, width] with gates i, o, f, c one after the other, as [width, lstm_columns].
std::vector<float> lstm_by_columns(const float* rows, int64_t hidden, int64_t width);
/// The recurrent weight [4 hidden, hidden] as [blocks, hidden, 64].
std::vector<float> lstm_blocks(const float* rows, int64_t hidden);

struct LstmRun {
  int64_t time = 0, batch = 0, hidden = 0;
  bool backwards = false;
  const float* from_input = nullptr;  ///< [time, batch, lstm_columns], biases included
  const float* recurrent = nullptr;   ///< of lstm_blocks
  float* h = nullptr;                 ///< [batch, hidden]: the first state, then the last
  float* c = nullptr;                 ///< likewise the cell
  float* spare = nullptr;             ///< [batch, hidden]
  float* y = nullptr;                 ///< the state after each step, or null
  int64_t y_step = 0, y_row = 0;      ///< elements from one step, one sequence to the next
};
void lstm_run(const LstmRun& run);

}  // namespace espalier::kernels

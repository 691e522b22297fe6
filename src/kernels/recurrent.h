// The recurrence of an LSTM, a GRU or a plain RNN over all its steps, in f32.
//
// Units come in blocks of 16: of a block, columns have its gates side by side in ONNX's order, the
// recurrent weight one gate after the other. A block of a sequence is computed by one thread in one
// order.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace espalier::kernels {

enum class Cell : uint8_t {
  kLstm,       ///< i, o, f, c:  c' = f c + i tanh(c~),  h' = o tanh(c')
  kGru,        ///< z, r, h:  h~ = tanh(x + R (r h)),  h' = (1 - z) h~ + z h
  kGruLinear,  ///< the same with h~ = tanh(x + r (R h + b)): reset after the product
  kRnn,        ///< h' = tanh(x + R h)
};
int64_t gates_of(Cell cell);

inline constexpr int64_t kRecurrentUnits = 16;

/// Columns of `hidden` units in blocks; those of missing units are zero.
int64_t recurrent_columns(Cell cell, int64_t hidden);
/// [gates hidden, width] with one gate after the other, as [width, recurrent_columns].
std::vector<float> recurrent_by_columns(Cell cell, const float* rows, int64_t hidden,
                                        int64_t width);
/// The recurrent weight [gates hidden, hidden] as [blocks, gates, hidden, 16].
Tensor recurrent_blocks(Cell cell, const float* rows, int64_t hidden);

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};
/// What one thread does of a step: some blocks of units of some sequences.
struct RecurrentPart {
  Range blocks, rows;
};

struct RecurrentRun {
  Cell cell = Cell::kLstm;
  int64_t time = 0, batch = 0, hidden = 0;
  bool backwards = false;
  float* from_input = nullptr;       ///< [time, batch, recurrent_columns], with the biases that are
                                     ///< not the state's alone; kGru overwrites it
  const float* recurrent = nullptr;  ///< of recurrent_blocks
  const float* state_bias = nullptr;  ///< kGruLinear: of R h in h~, whole blocks of units
  float* h = nullptr;                 ///< [batch, hidden]: the first state, then the last
  float* c = nullptr;                 ///< kLstm: likewise the cell
  float* spare = nullptr;             ///< [batch, hidden]
  float* reset = nullptr;             ///< kGru: [batch, hidden]
  float* y = nullptr;                 ///< the state after each step, or null
  int64_t y_step = 0, y_row = 0;      ///< elements from one step, one sequence to the next
};
void recurrent_run(const RecurrentRun& run);

}  // namespace espalier::kernels

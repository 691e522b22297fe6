// Update rules as short programs of elementwise instructions, to be searched for (Chen et al. 2023,
// "Symbolic discovery of optimization algorithms", arXiv:2302.06675). A program is run on numbers,
// which tells programs apart by what they do, and written into the graph of a training step.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "train/step.h"
#include "train/trainer.h"

namespace espalier {

/// Instructions on registers a and b; `number` is the instruction's own.
enum class ProgramOp : uint8_t {
  kAdd,       ///< a + b
  kSubtract,  ///< a - b
  kMultiply,  ///< a b
  kDivide,    ///< a / (|b| + 1e-8)
  kMix,       ///< number a + (1 - number) b
  kScale,     ///< number a
  kSign,      ///< sign of a
  kRoot,      ///< sqrt |a|
};
inline constexpr int kProgramOps = 8;
/// Whether the operation reads b, or has a number.
bool reads_b(ProgramOp op);
bool has_number(ProgramOp op);

struct UpdateInstruction {
  ProgramOp op = ProgramOp::kAdd;
  int to = 0, a = 0, b = 0;  ///< registers
  double number = 0;
  bool operator==(const UpdateInstruction&) const = default;
};

/// Registers: the weight and its gradient, which are only read; two states, which last from step to
/// step and are zero at first; the update, which is zero at the beginning of each step, as two
/// temporaries are. After the last instruction weight -= rate * update.
struct UpdateProgram {
  static constexpr int kWeight = 0, kGradient = 1, kFirstState = 2, kStates = 2, kUpdate = 4;
  static constexpr int kRegisters = 7, kFirstWritable = 2;
  std::vector<UpdateInstruction> code;
  double rate = 1;  ///< times that of the schedule

  bool operator==(const UpdateProgram&) const = default;
  /// "s0 = mix(s0, g, 0.9); u = sign(s0); rate 0.1".
  std::string text() const;
  /// Without instructions that no update ever depends on.
  UpdateProgram simplified() const;
  /// How many states an update depends on.
  int states() const;
  /// Runs the instructions once on one element's registers.
  void run(std::array<double, kRegisters>& registers) const;
  /// What the program does, to five digits, over some steps from numbers that are always the same;
  /// programs that do the same have the same hash. 0 where a number is not finite.
  uint64_t behaviour() const;
};

/// The update rule of stochastic gradient descent: u = g.
UpdateProgram gradient_descent();

/// Puts a program in the place of a trainer's optimiser. Weight decay is decoupled and reaches
/// parameters of two axes and more, as elsewhere.
class ProgramHook : public TrainHook {
 public:
  ProgramHook(UpdateProgram program, double weight_decay)
      : program_(program.simplified()), weight_decay_(weight_decay) {}
  void on_updates(StepGraph& step) override;

 private:
  UpdateProgram program_;
  double weight_decay_;
};

}  // namespace espalier

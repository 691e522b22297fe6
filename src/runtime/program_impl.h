// What a program consists of; private to runtime/.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bind/kernel.h"
#include "runtime/program.h"
#include "tensor/tensor.h"

namespace espalier {

/// Where a buffer's bytes come from.
enum class Place : uint8_t {
  kArena,     ///< `offset` in the session's arena
  kConstant,  ///< `constant`
  kInput,     ///< the caller's input `index`
  kOutput,    ///< the caller's output `index`
  kState,     ///< the session's state `index`
  kStrings,   ///< the session's strings, which no arena can hold
};

struct Buffer {
  Place place = Place::kArena;
  size_t bytes = 0;
  int index = 0;
  size_t offset = 0;
  Tensor constant;
};

inline constexpr int kNoBuffer = -1;

struct Instruction {
  KernelPtr kernel;
  std::vector<int> operands, results;  ///< buffers, kNoBuffer where absent
  size_t scratch_offset = 0;           ///< in the arena
  bool alone = false;  ///< prepared for one thread and runs on one, whatever the program's are
  InstructionInfo info;
};

/// The buffers (result, operand) that an instruction's kernel would put in one place, of those it
/// has: lists end with the last result asked for and the last operand given.
std::vector<std::pair<int, int>> in_place_buffers(const Instruction& instruction);

struct ProgramImpl {
  std::vector<Instruction> instructions;
  std::vector<InstructionInfo> infos;
  std::vector<Buffer> buffers;
  size_t arena_bytes = 0, weight_bytes = 0, state_bytes = 0;
  int threads = 1, reference_count = 0;
  bool profile = false;
  /// Where a batch runs sample by sample: the program of one, for one thread; there are no
  /// instructions or buffers beside it.
  std::shared_ptr<const Program> sample;
  int64_t samples = 1;
  std::vector<std::string> input_names, output_names, state_names;
  std::vector<TensorType> input_types, output_types, state_types;
};

}  // namespace espalier

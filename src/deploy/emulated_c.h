// Exported C on a microcontroller that QEMU emulates: whether it fits, what it answers, how deep
// its stack grows and how many instructions it takes.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "deploy/c_file.h"

namespace espalier {

/// What there is of a device's memory, in bytes.
struct DeviceMemory {
  size_t flash = size_t{1} << 20;  ///< for code and constants
  size_t ram = size_t{256} << 10;  ///< for the arena, inputs and results, and the stack
};

/// One call of a network of the file.
struct DeviceCall {
  size_t network = 0;
  std::vector<Tensor> inputs;
};

struct DeviceRun {
  struct Answer {
    int code = 0;  ///< what the network's function returned
    std::vector<Tensor> outputs;
    double instructions = 0;            ///< to within forty
    std::vector<unsigned char> states;  ///< after the call, where that was asked for
  };
  std::vector<Answer> answers;
  /// Of the arena, up to the last byte that was written to, and of the stack at its deepest.
  size_t touched_bytes = 0, stack_bytes = 0;
  /// Of code and constants; of the arena, inputs and results, and what the C library keeps.
  size_t flash_bytes = 0, static_bytes = 0;
  std::vector<unsigned char> states;  ///< the arena's first bytes, at the end
};

struct DeviceRunOptions {
  /// Scratch memory is filled with it first: what is as large goes unnoticed in `touched_bytes`.
  unsigned char filling = 0xa5;
  bool states_of_each = false;  ///< states are told after each call
  /// Is told the share of the answers that is there.
  std::function<void(double)> progress;
};

/// By how much two numbers differ; infinitely where only one of them is finite.
double apart(double a, double b);

class EmulatedC {
 public:
  /// Names of the devices: cortex-m3, cortex-m4 and cortex-m7.
  static std::vector<std::string> devices();

  /// Compiles the file for the device. UserError (unsupported) where $ARM_CC (else
  /// arm-none-eabi-gcc) or qemu-system-arm is missing, (infeasible) where it does not fit, saying
  /// by how much.
  EmulatedC(const CFile& file, const std::string& device, const DeviceMemory& memory = {});
  ~EmulatedC();
  EmulatedC(EmulatedC&&) noexcept;

  /// Makes the calls one after another, from reset and from the states' first values on. UserError
  /// where the device faults or its stack meets static memory.
  DeviceRun run(std::span<const DeviceCall> calls, const DeviceRunOptions& options = {}) const;
  /// A state of those of a run.
  Tensor state(std::span<const unsigned char> states, const std::string& name) const;

 private:
  struct Board;
  std::vector<CNetwork> networks_;
  std::vector<CState> states_;
  size_t state_bytes_ = 0;
  std::unique_ptr<Board> board_;
};

}  // namespace espalier

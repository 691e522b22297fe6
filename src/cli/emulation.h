// What --emulate of `espalier export` does: the C it has written runs on an emulated
// microcontroller and on this machine, and both say the same.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "deploy/c_training.h"

namespace CLI {
class App;
}

namespace espalier::cli {

struct EmulationOptions {
  std::string device;  ///< empty: none
  uint64_t flash = 0, ram = 0;

  void add_to(CLI::App& app);
};

/// Runs every network of the file on random inputs, a training step a few times, and prints, or
/// adds to `json`, what of the device it takes. UserError where it does not fit, InternalError
/// where the device answers otherwise than this machine.
void emulate(const CFile& file, const CTraining* training, const EmulationOptions& options,
             uint64_t seed, nlohmann::ordered_json* json);

}  // namespace espalier::cli

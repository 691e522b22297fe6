// Networks that learn as exported C: compiled, loaded and fed batch by batch, as a device would run
// them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "deploy/c_training.h"
#include "deploy/compiled_c.h"
#include "deploy/emulated_c.h"
#include "train/trainer.h"

namespace espalier {

/// What training on an emulated device took, and how it compares with the same C on this machine.
struct DeviceProof {
  int64_t steps = 0;
  size_t flash_bytes = 0, static_bytes = 0, stack_bytes = 0, touched_bytes = 0;
  double instructions = 0;  ///< of a step
  /// Of any element of any state after any step, beside the state's largest, from a step of this
  /// machine that begins with what the device had learnt.
  double difference = 0;
  double accuracy = 0;  ///< percent, of what the device has learnt
  double first_loss = 0, last_loss = 0;
};

class DeviceTraining {
 public:
  /// The network, its step written in C and compiled; `run` is for batches of one.
  DeviceTraining(const Graph& network, StepGraph step);

  const CFile& file() const { return file_; }
  const CTraining& training() const { return training_; }
  /// Learns from the first values on: epochs, order and rates as the options say. False where the
  /// loss stopped being finite; what has been learnt is then of no use.
  bool learn(std::shared_ptr<const Dataset> data, const TrainOptions& options);
  /// Percent of the samples that are answered rightly.
  double accuracy(const Dataset& data) const;
  /// The same step, from the same first values and on the first batches that `learn` would take, on
  /// an emulated device: UserError where it does not fit. `test` tells what it has learnt.
  DeviceProof emulated(const std::string& device, const DeviceMemory& memory, int64_t steps,
                       std::shared_ptr<const Dataset> data, const TrainOptions& options,
                       const Dataset& test) const;
  /// Bytes of the arena that a step and an inference on these samples write to.
  size_t touched_bytes(const Dataset& data, int64_t batch) const;

 private:
  CFile file_;
  CTraining training_;
  CompiledC c_;
};

/// A layer of a network in integers: an 8-bit weight, and the other parameters that are read before
/// the next one.
struct IntegerLayer {
  std::string name;  ///< of its weight
  std::set<std::string> parameters;
  int64_t elements = 0;
};
/// Layers with an 8-bit weight, in the order in which they are read.
std::vector<IntegerLayer> integer_layers(const Graph& quantised);

/// Of all sets of layers that hold the last one, the one whose contributions are the most in sum
/// and whose step, written in C, has an arena of at most `budget` bytes; layers that contribute
/// nothing are left out. `contributions` has one number for each layer, the last one's is not
/// looked at. UserError where not even the last layer alone fits.
struct ChosenLayers {
  std::vector<size_t> layers;
  std::set<std::string> parameters;
  size_t arena_bytes = 0;
};
ChosenLayers choose_layers(const Graph& quantised, const StepOptions& options,
                           const std::vector<IntegerLayer>& layers,
                           const std::vector<double>& contributions, size_t budget);

}  // namespace espalier

// What a training run needs to go on exactly where it was, in one file: a safetensors container
// whose tensors are the states and whose metadata hold the rest, with a checksum over both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace espalier {

/// Results of one epoch.
struct EpochReport {
  int64_t epoch = 0;  ///< counts from 1
  int64_t steps = 0;  ///< in all, at the end of this epoch
  double learning_rate = 0;
  double train_loss = 0;      ///< mean over samples
  double train_accuracy = 0;  ///< part of samples answered rightly; 0 where there are no classes
  double val_loss = 0;
  double val_accuracy = 0;
  double seconds = 0;  ///< of training
  double val_seconds = 0;

  /// Equal but for timings.
  bool same_results(const EpochReport& other) const;
};

struct Checkpoint {
  std::map<std::string, Tensor> states;  ///< parameters, moments, statistics, by name
  std::map<std::string, Tensor> hooks;   ///< what hooks keep, by name
  int64_t step = 0;                      ///< steps done
  int64_t epoch = 0;                     ///< epochs done
  int64_t position = 0;                  ///< batches of the next epoch done
  double loss_sum = 0, correct = 0;      ///< over the batches of the next epoch done so far
  double seconds = 0;                    ///< spent on the next epoch so far
  uint64_t seed = 0;
  int threads = 0;
  std::string options;    ///< what a resumed run must agree on, as text
  int64_t log_bytes = 0;  ///< length of the log when this was written
  std::vector<EpochReport> history;
};

std::string encode_checkpoint(const Checkpoint& checkpoint);
/// UserError naming `where` for bytes that are damaged, cut off, of another version, or no
/// checkpoint.
Checkpoint decode_checkpoint(std::string_view bytes, const std::string& where);

/// Checkpoints of one run: FOLDER/step-NNNNNNNNN.safetensors, the two newest are kept.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// Writes atomically, then removes what is older than the one before.
  void save(const Checkpoint& checkpoint) const;
  /// The newest, or nothing. UserError when it is damaged, naming an older one if there is.
  std::optional<Checkpoint> newest() const;
  std::vector<std::filesystem::path> files() const;  ///< oldest first

 private:
  std::filesystem::path folder_;
};

}  // namespace espalier

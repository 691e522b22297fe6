// What a run says of its steps and epochs.
#pragma once

#include <string>

#include "train/trainer.h"

namespace espalier {

/// A step, an epoch as a JSON object on one line, for the log. `done` counts steps.
std::string log_line(const StepReport& step, int64_t done);
std::string log_line(const EpochReport& epoch);
/// An epoch for people: losses, and accuracy, perplexity or bits a byte as the data give them.
/// `validation` is null where there is none.
std::string epoch_line(const EpochReport& epoch, const TrainOptions& options, const Dataset& data,
                       const Dataset* validation);

}  // namespace espalier

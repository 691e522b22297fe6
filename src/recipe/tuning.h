// Ways to fine-tune a network, run under the same conditions: what `espalier peft bench` and
// reproductions compare.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "recipe/trained_part.h"
#include "train/trainer.h"

namespace espalier {

struct TuningMethod {
  std::string name;  ///< as it was written
  TrainedPart part;
};

/// "full"; "head", the last layer ("head:layers=2"); "only:names=fc*+conv1*"; or an adapter,
/// "lora:rank=4,start=weights,at=fc1.*+fc2.*,also=head.*". UserError (usage) for anything else.
TuningMethod parse_tuning_method(const std::string& text);

/// A network with weights, and what it shall learn.
struct TuningTask {
  std::string name;
  Graph network;
  std::shared_ptr<const Dataset> train, val, test;
  TrainOptions training;
};

struct TuningOutcome {
  std::string method;
  double rate = 0;  ///< peak learning rate
  int64_t trained = 0, parameters = 0;
  StepMemory memory;
  int64_t optimizer_bytes = 0;
  double step_ms = 0;  ///< median of the steps taken, data waiting included
  std::vector<EpochReport> history;
  Evaluation tested;  ///< the merged network on the test split
  bool merged = false;
  Graph network;  ///< what was handed over

  double share() const { return double(trained) / double(std::max<int64_t>(1, parameters)); }
  const EpochReport& last() const { return history.back(); }
};

/// One run. UserError where the method does not fit the network.
TuningOutcome tuned(const TuningTask& task, const TuningMethod& method, double rate);
/// The best of several rates by the last validation loss.
TuningOutcome tuned_at_best(const TuningTask& task, const TuningMethod& method,
                            const std::vector<double>& rates);

/// The step that a method trains with, ready to run on a batch.
struct TuningStep {
  StepGraph graph;
  Batch batch;
};
TuningStep step_of(const TuningTask& task, const TuningMethod& method);
/// The same as a trainer runs it, changed as train/trained_step.h says.
TuningStep trained_step_of(const TuningTask& task, const TuningMethod& method);

}  // namespace espalier

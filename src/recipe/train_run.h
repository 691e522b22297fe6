// A training run in its folder: recipe.yaml (as resolved), log.jsonl, checkpoints/, and at the end
// model.onnx and summary.json; where not everything was trained, trained.safetensors beside them.
// An adapter that can be is merged into model.onnx.
#pragma once

#include <filesystem>
#include <string>

#include "recipe/recipe.h"

namespace espalier {

struct TrainRunOptions {
  std::filesystem::path folder;
  bool resume = false;       ///< go on from the newest checkpoint, or begin where there is none
  bool overwrite = false;    ///< replace an earlier run
  bool any_threads = false;  ///< resume at another thread count
  /// Of an incubation: trains this job alone ("meta", "module1", …), nothing else.
  std::string job = {};
};

struct TrainRun {
  bool finished = false;  ///< false: stopped; everything done so far is kept
  std::string summary;    ///< the JSON of summary.json; empty when not finished
  bool text = false;      ///< losses are nats a token
  double test_accuracy = 0, val_accuracy = 0, test_loss = 0, val_loss = 0;
  int64_t steps = 0;
  /// Of TrainRunOptions::job: its job.json, where it is finished. Nothing else is of use then.
  std::string job = {};
};

/// Trains, evaluates on the test split once, exports. Equal inputs give equal summaries but for
/// the timings. UserError (usage) when the folder holds a run and neither `resume` nor `overwrite`
/// is set; (bad input) when it cannot be made. With `overwrite`, the files of an earlier run are
/// removed once this one is known to be possible; others are left alone.
/// With `job`, UserError where the recipe has no incubation or the incubation no such job.
TrainRun run_training(const TrainRecipe& recipe, const TrainRunOptions& options);

}  // namespace espalier

// Recipes that fit a network to a budget.
//
//   espalier: 1
//   task: fit
//   name: glyphs-resnet8
//   seed: 1
//   model: {zoo: resnet8}               # see recipe.h
//   data: synthetic:glyphs
//   budget: macs=50%,drop=1.0           # or as keys: {macs: 50%, drop: 1.0}
//   training: {epochs: 8, …}            # see recipe.h; epochs 0 takes the network as it is
//   prune: {epochs: 8, …}               # the same keys, defaults from training;
//                                       # left out or epochs 0: nothing is cut
//   cut: {macs: 50%, width_multiple: 8} # share of MACs to keep where the budget names none
//   precisions: [f32, bf16, int8]
//   calibration: 512                    # training samples that int8 ranges come from
//   measure: {threads: 1, batch: 1, rounds: 9}
#pragma once

#include <filesystem>
#include <string>

#include "recipe/fit.h"
#include "recipe/yaml.h"

namespace espalier {

/// The plan a recipe describes, its network built. UserError with file:line for anything that
/// cannot be used.
FitPlan read_fit_recipe(const Yaml& recipe);

/// The plan for a network by itself: `model` a file, taken as trained unless `epochs` says how long
/// to train it first; `weights` a file with its parameters, or empty. A definition without weights
/// is trained by SGD; a network that has some is tuned by AdamW, whatever the scale of its inputs
/// and outputs.
FitPlan plan_for_model(const std::string& model, const std::string& weights,
                       const std::string& data, const std::string& budget, int64_t train_epochs,
                       int64_t prune_epochs, uint64_t seed);

/// Makes a folder for a fit: UserError (usage) when it holds one and neither `resume` nor
/// `overwrite` is set.
void prepare_fit_folder(const std::filesystem::path& folder, bool resume, bool overwrite);
/// Removes what an earlier fit left.
void clear_fit_folder(const std::filesystem::path& folder);

}  // namespace espalier

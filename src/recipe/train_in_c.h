// What a training recipe does on each batch, as C.
#pragma once

#include "deploy/c_training.h"
#include "recipe/recipe.h"

namespace espalier {

/// Adds the step of the recipe's `training` section (batch, loss, optimiser, clipping, `only` or
/// `adapt`) and inference to an empty file. `shape` is that of the network's input for inference:
/// where its batch is open, the step's is the recipe's. Data, epochs, schedule and augmentation are
/// the caller's affair.
CTraining add_training(CFile& file, const Graph& network, const TrainRecipe& recipe,
                       const Shape& shape);

}  // namespace espalier

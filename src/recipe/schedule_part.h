// Learning rates in recipes: the key `schedule` of the `training` section.
#pragma once

#include "recipe/yaml.h"
#include "train/schedule.h"

namespace espalier {

/// UserError with its line.
Schedule read_schedule(const Yaml& part, Schedule defaults);

}  // namespace espalier

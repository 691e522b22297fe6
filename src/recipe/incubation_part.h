// Training module by module in recipes: the key `incubation` of the `training` section.
//
//   training:
//     epochs: 5                # of the network put together
//     incubation:
//       meta_epochs: 15        # of the meta model; of `around: meta` alone
//       module_epochs: 5       # of each module
//       modules: 4
//       rate: 1                # of meta model and modules, times the schedule's peak
//       around: meta           # a module while it is trained: or below, or nothing
#pragma once

#include "compress/incubation.h"
#include "recipe/yaml.h"

namespace espalier {

struct IncubationPart {
  Incubation incubation;
  Yaml place;  ///< for messages
};

/// UserError with its line.
IncubationPart read_incubation(const Yaml& part);

}  // namespace espalier

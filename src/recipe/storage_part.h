// How recipes say that training stores numbers in fewer bits.
#pragma once

#include "recipe/yaml.h"
#include "train/storage.h"

namespace espalier {

/// `states` of an optimiser: `f32`, `bf16`, `fp8`, or what `fp8` means otherwise: {format: e4m3,
/// group: 128, expand: true}.
Storage read_states(const Yaml& part);
/// `saved_activations` of a training: `fp8`, or {format: e4m3, group: 16}.
Float8Groups read_saved_activations(const Yaml& part);

}  // namespace espalier

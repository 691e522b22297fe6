// A hypernetwork in recipes: which generator makes the weights of the network, from what.
//
//   generate:
//     kind: mlp                        # or chunked, recurrent; their settings stand beside it
//     encoding: cosine_sine            # of the condition; or plain
//     residual: true                   # added to weights that are learned as well
//     turn: [0, 90]                    # the condition says by how many degrees pictures are turned
#pragma once

#include <optional>

#include "recipe/yaml.h"
#include "train/hypernetwork.h"

namespace espalier {

/// The keys `kind`, `encoding`, `residual`, `scale`, `targets` and the unit's settings; others of
/// the map are left to the caller. One number is the condition unless the caller changes that.
HypernetworkSpec read_hypernetwork(Fields& fields);

/// The `generate` section of a recipe that trains.
struct GeneratePart {
  HypernetworkSpec spec;
  double from = 0, to = 0;  ///< degrees at condition 0 and 1
};
GeneratePart read_generate(const Yaml& part);

}  // namespace espalier

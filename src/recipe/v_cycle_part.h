// A V-cycle in recipes: the key `v_cycle` of the `training` section.
//
//   training:
//     epochs: 20               # of the network itself, after the cycle
//     v_cycle:
//       first: 2               # epochs of each size on the way down
//       small: 10              # epochs of each smaller size on the way up
//       levels: 2              # sizes
//       width: 2               # neighbouring groups of an axis class that become one; 1: none
//       depth: 2               # neighbouring blocks that become one; 1: none
//       whole: ["head*"]       # classes that stay whole
//       alpha: 0.5             # how much of the small network interpolation takes
//       rate: 2                # of the smaller sizes, times the schedule's peak
//       moments: carried       # or fresh
#pragma once

#include "compress/v_cycle.h"
#include "recipe/yaml.h"

namespace espalier {

struct VCyclePart {
  VCycle cycle;
  Yaml place;  ///< for messages
};

/// `epochs` of training. UserError with its line.
VCyclePart read_v_cycle(const Yaml& part);

}  // namespace espalier

// Data sets some of whose labels are wrong.
#pragma once

#include <memory>

#include "data/dataset.h"

namespace espalier {

/// The same samples, each labelled with probability `part` as one of the other classes, each as
/// likely: a function of (seed, index). UserError where targets are no class labels.
std::shared_ptr<const Dataset> with_label_noise(std::shared_ptr<const Dataset> data, double part,
                                                uint64_t seed);

}  // namespace espalier

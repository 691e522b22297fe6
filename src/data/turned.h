// Pictures that stand askew: what a camera sees once it has been mounted another way.
#pragma once

#include <memory>

#include "data/dataset.h"

namespace espalier {

/// The same data set with its pictures turned about their middle by `degrees`, counter-clockwise,
/// read between pixels bilinearly; what lies outside is what the nearest edge shows. UserError
/// where samples are no pictures.
std::shared_ptr<const Dataset> turned(std::shared_ptr<const Dataset> pictures, double degrees);

}  // namespace espalier

// Sequences of tasks made of one data set of pictures: what learning one thing after another is
// measured with.
#pragma once

#include <memory>
#include <vector>

#include "data/dataset.h"

namespace espalier {

/// Consecutive classes as tasks of `classes` each, labelled from 0: of digits by two 0 and 1, then
/// 2 and 3, and so on ("split"). UserError unless that divides the data's classes.
std::vector<std::shared_ptr<const Dataset>> split_by_class(std::shared_ptr<const Dataset> data,
                                                           int64_t classes);

/// The same samples with their elements in another order, the same for all; `seed` 0 leaves them as
/// they are ("permuted").
std::shared_ptr<const Dataset> permuted(std::shared_ptr<const Dataset> data, uint64_t seed);

}  // namespace espalier

// One data set as several tasks to be learned one after another.
#pragma once

#include <memory>
#include <vector>

#include "data/dataset.h"

namespace espalier {

/// The samples of some classes, which are numbered anew in that order. UserError where a class is
/// named twice or has no sample, and where targets are no labels.
std::shared_ptr<const Dataset> of_classes(std::shared_ptr<const Dataset> data,
                                          const std::vector<int64_t>& classes);

/// Consecutive classes as tasks of `classes` each: of digits by two 0 and 1, then 2 and 3, and so
/// on. UserError unless that divides the data's classes, or a task has no sample.
std::vector<std::shared_ptr<const Dataset>> split_by_class(std::shared_ptr<const Dataset> data,
                                                           int64_t classes);

/// The elements of every sample in an order drawn by `seed`, the same for all; of pictures whole
/// pixels change places. Seed 0 leaves the data as they are. UserError where samples are tokens.
std::shared_ptr<const Dataset> permuted(std::shared_ptr<const Dataset> data, uint64_t seed);

}  // namespace espalier

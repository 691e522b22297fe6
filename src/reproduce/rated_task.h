// Reproductions that train one network in several ways, each at the best of the same rates.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "data/source.h"
#include "recipe/recipe.h"

namespace espalier {

/// The loss of a training that diverged.
inline constexpr double kNever = std::numeric_limits<double>::infinity();
/// Seeds for choosing rates are so far from those that count.
inline constexpr uint64_t kTuningSeeds = 1000;

struct RatedTask {
  ModelPart model;
  std::shared_ptr<const Dataset> train, val, test;
  TrainOptions training;
  std::vector<double> rates;

  void load(const DataSpec& data) {
    const DataSource source(data);
    train = source.split(Split::train);
    val = source.split(Split::val);
    test = source.split(Split::test);
  }
};

}  // namespace espalier

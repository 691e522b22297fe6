// Whether what training does to a network depends on its width: how far features move in a few
// steps, and at which learning rate it learns best, width by width (the coordinate check of Yang et
// al. 2022, arXiv:2203.03466, appendix D.1, and its figure 1).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace espalier {

/// A network at the widths that multiples of its base's variables make.
struct WidthFamily {
  ModelPart model;
  ParametrizationPart part;
  TrainOptions training;  ///< its epochs and schedule are those of the sweep
  std::shared_ptr<const Dataset> train, val;

  /// Under the parametrisation `kind` (the part's own exponents where it is the part's kind), all
  /// variables of the base multiplied. UserError where one is no whole number.
  ParametrizedNetwork at(const std::string& kind, int64_t multiple, uint64_t seed) const;
  /// The value there of `width`, or, where the base has none, of its last variable by name.
  int64_t width(int64_t multiple) const;
};

/// How far the results of one product (with weights, or of attention) move.
struct LayerChange {
  std::string layer;
  bool weighed = false;        ///< a product with a weight; else one of attention
  std::vector<double> change;  ///< root of the mean square over coordinates, for each width
  double slope = 0;            ///< of log change over log width: 0 where width does not matter
};

/// The exponent of the power law that fits y (x) best: the slope of their logarithms by least
/// squares.
double log_slope(const std::vector<double>& x, const std::vector<double>& y);

struct CoordinateCheck {
  std::string kind;
  double rate = 0;
  std::vector<LayerChange> layers;
  /// The largest slope of all, and the smallest of products with weights: under muP attention's
  /// scores vanish in the first steps, probably because queries and keys are not yet correlated.
  double steepest() const;
  double shallowest() const;
};

struct CoordinateOptions {
  std::vector<int64_t> multiples;  ///< rising
  int64_t steps = 4, seeds = 1;
  double rate = 1e-3;  ///< the same at all widths, before the parametrisation
  uint64_t seed = 0;   ///< the first
};

/// Results on one batch before and after `steps` of training, at each width.
CoordinateCheck check_coordinates(const WidthFamily& family, const std::string& kind,
                                  const CoordinateOptions& options);

/// One width, all rates.
struct WidthSweep {
  int64_t multiple = 1, width = 0;
  std::vector<double> loss;     ///< last validation loss at each rate, mean over seeds; infinite
                                ///< where a seed diverged
  std::vector<double> seconds;  ///< of each rate's runs
  size_t best = 0;              ///< index of the least loss
  double log2_best = 0;         ///< base-2 logarithm of the best rate, between rates by a parabola
  bool at_edge = false;         ///< the best is the first or last rate
};

/// Trains at every rate. `tell` is given each loss as it is known.
WidthSweep sweep_rates(const WidthFamily& family, const std::string& kind, int64_t multiple,
                       const std::vector<double>& rates, const std::vector<uint64_t>& seeds,
                       const std::function<void(double rate, double loss)>& tell = {});
/// One training at a rate; the last validation loss, infinite where it diverged.
double loss_at(const WidthFamily& family, const std::string& kind, int64_t multiple, double rate,
               uint64_t seed);

}  // namespace espalier

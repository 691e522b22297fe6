// Regression on tables of numbers: a ridge, and boosted trees for what the ridge leaves. Both are
// functions of their data, options and seed alone, whatever the number of threads.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <vector>

namespace espalier {

/// Rows of equally many features.
class FeatureTable {
 public:
  explicit FeatureTable(size_t columns) : columns_(columns) {}
  void add(std::span<const double> row);
  size_t rows() const { return columns_ == 0 ? 0 : values_.size() / columns_; }
  size_t columns() const { return columns_; }
  std::span<const double> row(size_t i) const { return {&values_[i * columns_], columns_}; }
  double at(size_t row, size_t column) const { return values_[row * columns_ + column]; }

 private:
  size_t columns_;
  std::vector<double> values_;
};

/// y = intercept + sum of weight * (x - mean) / deviation, with the least sum of squared errors
/// plus `strength` times the number of rows times the squared weights.
class RidgeRegression {
 public:
  static RidgeRegression fit(const FeatureTable& x, std::span<const double> y, double strength);
  double predict(std::span<const double> row) const;

  nlohmann::ordered_json to_json() const;
  /// Throws what the JSON library throws, or UserError, when it is damaged.
  static RidgeRegression from_json(const nlohmann::ordered_json& j, size_t columns);

 private:
  std::vector<double> mean_, weight_;  ///< weights of the plain features
  double intercept_ = 0;
};

struct BoostOptions {
  int trees = 400;
  int depth = 5;
  double rate = 0.06;         ///< of what each tree says, how much is taken
  int least_rows = 4;         ///< in a leaf
  double strength = 1;        ///< pulls the values of leaves to 0
  double row_share = 0.7;     ///< of the rows, how many each tree sees
  double column_share = 0.5;  ///< of the features, how many each tree may ask
  uint64_t seed = 0;
};

/// A sum of regression trees, each grown on what those before it leave (Friedman, "Stochastic
/// gradient boosting", 2002), splits sought among at most 64 cuts of each feature.
class BoostedTrees {
 public:
  static BoostedTrees fit(const FeatureTable& x, std::span<const double> y,
                          const BoostOptions& options = {});
  double predict(std::span<const double> row) const;

  nlohmann::ordered_json to_json() const;
  /// Throws what the JSON library throws, or UserError, when it is damaged.
  static BoostedTrees from_json(const nlohmann::ordered_json& j, size_t columns);

 private:
  friend class TreeGrower;
  struct Node {
    int column = -1;       ///< -1: a leaf
    double threshold = 0;  ///< at most: `below`
    int below = 0, above = 0;
    double value = 0;  ///< of a leaf
  };
  std::vector<std::vector<Node>> trees_;  ///< children stand behind their parents
  double first_ = 0;
};

}  // namespace espalier

#include "cost/learner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/rng.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

/// Uniform in [-1, 1).
FeatureTable drawn(size_t rows, size_t columns, uint64_t seed) {
  FeatureTable x(columns);
  const Rng rng(seed, 3);
  for (size_t i = 0; i < rows; ++i) {
    std::vector<double> row;
    for (size_t j = 0; j < columns; ++j) row.push_back(rng.uniform(i * columns + j, -1, 1));
    x.add(row);
  }
  return x;
}

template <class F>
std::vector<double> values_of(const FeatureTable& x, F f) {
  std::vector<double> y;
  for (size_t i = 0; i < x.rows(); ++i) y.push_back(f(x.row(i)));
  return y;
}

template <class Model>
double rms_error(const Model& model, const FeatureTable& x, const std::vector<double>& y) {
  double sum = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const double off = model.predict(x.row(i)) - y[i];
    sum += off * off / double(y.size());
  }
  return std::sqrt(sum);
}

TEST(Ridge, RecoversALinearFunction) {
  const auto f = [](auto x) { return 3 + 2 * x[0] - 0.5 * x[2]; };
  const FeatureTable x = drawn(200, 4, 1), other = drawn(50, 4, 2);
  const auto model = RidgeRegression::fit(x, values_of(x, f), 1e-9);
  EXPECT_LT(rms_error(model, other, values_of(other, f)), 1e-6);
}

TEST(Ridge, TakesFeaturesThatNeverVaryOrRepeat) {
  FeatureTable x(3);
  std::vector<double> y;
  for (double v = 0; v < 10; ++v) {
    x.add(std::vector<double>{v, v, 7});
    y.push_back(4 * v);
  }
  const auto model = RidgeRegression::fit(x, y, 1e-9);
  EXPECT_NEAR(model.predict(std::vector<double>{20, 20, 7}), 80, 1e-4);
}

TEST(BoostedTrees, RecoverStepsAndWhatFeaturesDoTogether) {
  const auto f = [](auto x) { return (x[0] > 0.2 ? 2.0 : 0.0) + (x[1] > 0 ? x[2] : -x[2]); };
  const FeatureTable x = drawn(2000, 5, 1), other = drawn(400, 5, 2);
  const auto y = values_of(x, f), wanted = values_of(other, f);
  const auto trees = BoostedTrees::fit(x, y);
  const auto ridge = RidgeRegression::fit(x, y, 1e-9);
  EXPECT_LT(rms_error(trees, other, wanted), 0.3);
  EXPECT_GT(rms_error(ridge, other, wanted), 0.6);
}

TEST(BoostedTrees, AreAFunctionOfDataAndSeed) {
  const FeatureTable x = drawn(300, 4, 1);
  const auto y = values_of(x, [](auto v) { return v[0] * v[1]; });
  BoostOptions options;
  options.trees = 20;
  const Json once = BoostedTrees::fit(x, y, options).to_json();
  EXPECT_EQ(once, BoostedTrees::fit(x, y, options).to_json());
  options.seed = 1;
  EXPECT_NE(once, BoostedTrees::fit(x, y, options).to_json());
}

TEST(BoostedTrees, OneDeepTreeRemembersEveryRow) {
  const FeatureTable x = drawn(60, 2, 1);
  const auto y = values_of(x, [](auto v) { return v[0]; });
  BoostOptions options;
  options.trees = 1;
  options.depth = 20;
  options.rate = options.row_share = options.column_share = 1;
  options.least_rows = 1;
  options.strength = 0;
  EXPECT_LT(rms_error(BoostedTrees::fit(x, y, options), x, y), 1e-9);
}

TEST(Learners, RoundTripAsJson) {
  const FeatureTable x = drawn(100, 3, 1);
  const auto y = values_of(x, [](auto v) { return v[0] + std::abs(v[1]); });
  const auto trees = BoostedTrees::fit(x, y);
  const auto ridge = RidgeRegression::fit(x, y, 0.1);
  const auto trees_again = BoostedTrees::from_json(Json::parse(trees.to_json().dump()), 3);
  const auto ridge_again = RidgeRegression::from_json(Json::parse(ridge.to_json().dump()), 3);
  for (size_t i = 0; i < x.rows(); ++i) {
    EXPECT_EQ(trees.predict(x.row(i)), trees_again.predict(x.row(i)));
    EXPECT_EQ(ridge.predict(x.row(i)), ridge_again.predict(x.row(i)));
  }
}

TEST(Learners, RefuseTreesThatLeadNowhere) {
  const auto read = [](const char* tree) {
    return BoostedTrees::from_json(
        Json::parse(std::string(R"({"first": 0, "trees": [)") + tree + "]}"), 2);
  };
  EXPECT_NO_THROW(read("[[1, 0.5, 1, 2], [3], [4]]"));
  EXPECT_THROW(read("[[1, 0.5, 0, 2], [3], [4]]"), UserError);  // around and around
  EXPECT_THROW(read("[[1, 0.5, 1, 3], [3], [4]]"), UserError);
  EXPECT_THROW(read("[[2, 0.5, 1, 2], [3], [4]]"), UserError);  // no such feature
  EXPECT_THROW(read("[]"), UserError);
  EXPECT_THROW(read("[[1, \"x\", 1, 2], [3], [4]]"), Json::exception);
  const Json short_of_one = Json::parse(R"({"intercept": 0, "mean": [1.0], "weight": [1.0, 2.0]})");
  EXPECT_THROW(RidgeRegression::from_json(short_of_one, 2), UserError);
}

}  // namespace
}  // namespace espalier

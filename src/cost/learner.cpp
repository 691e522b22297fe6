#include "cost/learner.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"

namespace espalier {

void FeatureTable::add(std::span<const double> row) {
  ESP_CHECK(row.size() == columns_, "every row has all features");
  values_.insert(values_.end(), row.begin(), row.end());
}

namespace {

/// Solves A x = b for a symmetric positive definite A [n, n], by Cholesky's factorisation in place.
std::vector<double> solve_positive(std::vector<double> a, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    ESP_CHECK(a[j * n + j] > 0, "a ridge makes the matrix positive definite");
    a[j * n + j] = std::sqrt(a[j * n + j]);
    for (size_t i = j + 1; i < n; ++i) {
      for (size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= a[j * n + j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

double mean_of(std::span<const double> y) {
  return std::accumulate(y.begin(), y.end(), 0.0) / double(y.size());
}

}  // namespace

RidgeRegression RidgeRegression::fit(const FeatureTable& x, std::span<const double> y,
                                     double strength) {
  ESP_CHECK(x.rows() == y.size() && !y.empty(), "one number for each row");
  ESP_CHECK(strength > 0, "a ridge has a positive strength");
  const size_t n = x.rows(), d = x.columns();
  RidgeRegression r;
  r.mean_.assign(d, 0);
  std::vector<double> deviation(d, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < d; ++j) r.mean_[j] += x.at(i, j) / double(n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < d; ++j) {
      const double off = x.at(i, j) - r.mean_[j];
      deviation[j] += off * off / double(n);
    }
  // Features that hardly vary say nothing.
  for (size_t j = 0; j < d; ++j)
    deviation[j] =
        deviation[j] > 1e-12 * (1 + r.mean_[j] * r.mean_[j]) ? std::sqrt(deviation[j]) : 0;
  r.intercept_ = mean_of(y);
  std::vector<double> a(d * d, 0), b(d, 0), z(d);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < d; ++j)
      z[j] = deviation[j] > 0 ? (x.at(i, j) - r.mean_[j]) / deviation[j] : 0;
    for (size_t j = 0; j < d; ++j) {
      b[j] += z[j] * (y[i] - r.intercept_);
      for (size_t k = 0; k <= j; ++k) a[j * d + k] += z[j] * z[k];
    }
  }
  for (size_t j = 0; j < d; ++j) a[j * d + j] += strength * double(n);
  r.weight_ = solve_positive(std::move(a), std::move(b));
  for (size_t j = 0; j < d; ++j) r.weight_[j] = deviation[j] > 0 ? r.weight_[j] / deviation[j] : 0;
  return r;
}

double RidgeRegression::predict(std::span<const double> row) const {
  ESP_CHECK(row.size() == weight_.size(), "a row has the features the ridge was fitted to");
  double y = intercept_;
  for (size_t j = 0; j < row.size(); ++j) y += weight_[j] * (row[j] - mean_[j]);
  return y;
}

nlohmann::ordered_json RidgeRegression::to_json() const {
  return {{"intercept", intercept_}, {"mean", mean_}, {"weight", weight_}};
}

RidgeRegression RidgeRegression::from_json(const nlohmann::ordered_json& j, size_t columns) {
  RidgeRegression r;
  r.intercept_ = j.at("intercept").get<double>();
  r.mean_ = j.at("mean").get<std::vector<double>>();
  r.weight_ = j.at("weight").get<std::vector<double>>();
  if (r.mean_.size() != columns || r.weight_.size() != columns)
    throw bad_input("ridge", "has another number of features");
  return r;
}

}  // namespace espalier

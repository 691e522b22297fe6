#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "cost/metrics.h"
#include "cost/model.h"

namespace espalier {
namespace {

constexpr size_t kLeastHeldOut = 5;

struct Line {
  double a = 0, b = 0;
};

/// The line through (x, y) with the least weighted squares; level where x does not vary.
Line fitted_line(std::span<const double> x, std::span<const double> y,
                 std::span<const double> weight) {
  double w = 0, wx = 0, wy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    w += weight[i];
    wx += weight[i] * x[i];
    wy += weight[i] * y[i];
  }
  const double mean_x = wx / w, mean_y = wy / w;
  double xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += weight[i] * (x[i] - mean_x) * (x[i] - mean_x);
    xy += weight[i] * (x[i] - mean_x) * (y[i] - mean_y);
  }
  const double b = xx > 0 ? std::max(0.0, xy / xx) : 0;  // more work never takes less time
  return {mean_y - b * mean_x, b};
}

PredictionScore score(const std::vector<double>& predicted, const std::vector<double>& actual) {
  return {mean_relative_error(predicted, actual), kendall_tau(predicted, actual)};
}

}  // namespace

ScaledBaseline::ScaledBaseline(std::span<const double> x, std::span<const double> ms) {
  ESP_CHECK(x.size() == ms.size() && !x.empty(), "one time for each number");
  std::vector<double> relative, equal(x.size(), 1), log_x, log_ms;
  for (size_t i = 0; i < x.size(); ++i) {
    relative.push_back(1 / (ms[i] * ms[i]));
    log_x.push_back(std::log1p(x[i]));
    log_ms.push_back(std::log(ms[i]));
  }
  const Line line = fitted_line(x, ms, relative), power = fitted_line(log_x, log_ms, equal);
  const auto error = [&](bool as_power, const Line& l) {
    ScaledBaseline b = *this;
    b.power_ = as_power;
    b.a_ = l.a;
    b.b_ = l.b;
    std::vector<double> predicted;
    for (double v : x) predicted.push_back(b.predict_ms(v));
    return mean_relative_error(predicted, ms);
  };
  power_ = error(true, power) < error(false, line);
  a_ = power_ ? power.a : line.a;
  b_ = power_ ? power.b : line.b;
}

double ScaledBaseline::predict_ms(double x) const {
  return power_ ? std::exp(a_ + b_ * std::log1p(x)) : a_ + b_ * x;
}

std::optional<CostEvaluation> evaluate_cost_model(const CostTables& tables,
                                                  const CostModelOptions& options) {
  if (!tables.peaks) return std::nullopt;
  std::vector<RegionRow> training, held_out;
  for (const RegionRow& row : tables.rows)
    if (row.ms > 0) (part_of(row.facts) == 0 ? held_out : training).push_back(row);
  if (training.size() < CostModel::kLeastRows || held_out.size() < kLeastHeldOut)
    return std::nullopt;
  const auto roofline = [&](const RegionRow& row) {
    return roofline_ms(row.facts, *tables.peaks, tables.machine.threads);
  };
  const auto column = [](const std::vector<RegionRow>& rows, const auto& number) {
    std::vector<double> numbers;
    for (const RegionRow& row : rows) numbers.push_back(number(row));
    return numbers;
  };
  const auto time = [](const RegionRow& row) { return row.ms; };
  const auto macs = [](const RegionRow& row) { return row.facts.macs; };
  const CostModel model = CostModel::fit(tables, training, options);
  const ScaledBaseline by_roofline(column(training, roofline), column(training, time));
  const ScaledBaseline by_macs(column(training, macs), column(training, time));
  const std::vector<double> actual = column(held_out, time);
  CostEvaluation e;
  e.training = training.size();
  e.held_out = held_out.size();
  e.learned = score(column(held_out, [&](const RegionRow& r) { return model.predict_ms(r.facts); }),
                    actual);
  e.roofline = score(
      column(held_out, [&](const RegionRow& r) { return by_roofline.predict_ms(roofline(r)); }),
      actual);
  e.macs = score(column(held_out, [&](const RegionRow& r) { return by_macs.predict_ms(macs(r)); }),
                 actual);
  return e;
}

}  // namespace espalier

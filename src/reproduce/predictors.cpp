#include "reproduce/predictors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/progress.h"
#include "base/rng.h"
#include "cost/metrics.h"

namespace espalier {
namespace {

constexpr size_t kMostSingleFolds = 12;
constexpr uint64_t kFolds = 5;

/// Training rows of one fold, as regressions read them.
struct Fold {
  std::vector<size_t> training, wanted;
  FeatureTable x{0};  ///< all rows, standardised
  FeatureTable x_training{0};
  std::vector<double> y_training;
};

Fold fold_of(const GroupedTable& t, const std::vector<size_t>& wanted) {
  Fold f;
  f.wanted = wanted;
  std::vector<bool> out(t.target.size(), false);
  for (size_t i : wanted) out[i] = true;
  for (size_t i = 0; i < out.size(); ++i)
    if (!out[i]) f.training.push_back(i);
  f.x = standardised(t, f.training);
  f.x_training = FeatureTable(f.x.columns());
  for (size_t i : f.training) {
    f.x_training.add(f.x.row(i));
    f.y_training.push_back(t.target[i]);
  }
  return f;
}

template <class Model>
std::vector<double> predicted(const Model& model, const Fold& f) {
  std::vector<double> y;
  for (size_t i : f.wanted) y.push_back(model.predict(f.x.row(i)));
  return y;
}

double squared_distance(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t j = 0; j < a.size(); ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
  return sum;
}

/// The same item on other configurations: the mean of all, or the nearest. Items seen nowhere else
/// are given the mean of everything.
std::vector<double> from_same_item(const GroupedTable& t, const Fold& f, bool nearest) {
  std::map<std::string, std::vector<size_t>> known;
  for (size_t i : f.training) known[t.item[i]].push_back(i);
  const double mean =
      std::accumulate(f.y_training.begin(), f.y_training.end(), 0.0) / double(f.y_training.size());
  std::vector<double> y;
  for (size_t i : f.wanted) {
    const auto it = known.find(t.item[i]);
    if (it == known.end()) {
      y.push_back(mean);
      continue;
    }
    double sum = 0, best = std::numeric_limits<double>::infinity();
    for (size_t k : it->second) {
      const double distance = squared_distance(f.x.row(i), f.x.row(k));
      if (nearest && distance < best) {
        best = distance;
        sum = t.target[k];
      }
      if (!nearest) sum += t.target[k] / double(it->second.size());
    }
    y.push_back(sum);
  }
  return y;
}

}  // namespace

std::vector<std::vector<size_t>> configuration_folds(const GroupedTable& t, uint64_t seed) {
  std::map<std::string, std::vector<size_t>> rows;
  for (size_t i = 0; i < t.machine.size(); ++i) rows[t.machine[i]].push_back(i);
  std::vector<std::vector<size_t>> folds;
  if (rows.size() <= kMostSingleFolds) {
    for (auto& [machine, own] : rows) folds.push_back(std::move(own));
    return folds;
  }
  folds.resize(kFolds);
  for (const auto& [machine, own] : rows) {
    auto& fold = folds[size_t(Rng(seed, stream_of(machine)).below(0, kFolds))];
    fold.insert(fold.end(), own.begin(), own.end());
  }
  std::erase_if(folds, [](const auto& fold) { return fold.empty(); });
  for (auto& fold : folds) std::sort(fold.begin(), fold.end());
  return folds;
}

std::map<std::string, double> compare_predictors(const GroupedTable& t,
                                                 const PerformanceTraining& training) {
  const auto folds = configuration_folds(t, training.seed);
  if (folds.size() < 3)
    throw bad_input("configurations",
                    "there are " + std::to_string(folds.size()) + ", three are needed",
                    "measure at further thread counts or instruction sets");
  std::map<std::string, std::vector<double>> scores;
  std::vector<double> actual;
  const auto add = [&](const char* predictor, const std::vector<double>& logarithms) {
    for (double y : logarithms) scores[predictor].push_back(std::exp(y));
  };
  Progress progress("comparing predictors", int64_t(folds.size()), "configurations");
  for (const auto& wanted : folds) {
    const Fold f = fold_of(t, wanted);
    for (size_t i : wanted) actual.push_back(std::exp(t.target[i]));
    BoostOptions boosted;
    boosted.seed = training.seed;
    BoostOptions single = boosted;
    single.trees = 1;
    single.depth = 12;
    single.rate = single.row_share = single.column_share = 1;
    single.strength = 0;
    add("linear", predicted(RidgeRegression::fit(f.x_training, f.y_training, 1e-3), f));
    add("tree", predicted(BoostedTrees::fit(f.x_training, f.y_training, single), f));
    add("boosted_trees", predicted(BoostedTrees::fit(f.x_training, f.y_training, boosted), f));
    add("mean", from_same_item(t, f, /*nearest=*/false));
    add("nearest", from_same_item(t, f, /*nearest=*/true));
    add("perceptron",
        train_and_predict(PerformanceNet::kPerceptron, t, f.training, wanted, training));
    add("ncpp",
        train_and_predict(PerformanceNet::kGroupAttention, t, f.training, wanted, training));
    progress.advance();
  }
  std::map<std::string, double> errors;
  for (const auto& [predictor, predictions] : scores)
    errors[predictor] = mean_relative_error(predictions, actual);
  return errors;
}

}  // namespace espalier

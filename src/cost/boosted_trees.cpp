#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "cost/learner.h"

namespace espalier {
namespace {

constexpr size_t kCuts = 63;

/// Where a feature may be split: between neighbours among its values, at most kCuts of them.
std::vector<double> cuts_of(const FeatureTable& x, size_t column) {
  std::vector<double> values(x.rows());
  for (size_t i = 0; i < values.size(); ++i) values[i] = x.at(i, column);
  std::sort(values.begin(), values.end());
  std::vector<double> distinct = values;
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<double> cuts;
  const auto cut_after = [&](size_t k) {  // behind distinct[k]
    if (k + 1 < distinct.size()) cuts.push_back(distinct[k] + (distinct[k + 1] - distinct[k]) / 2);
  };
  if (distinct.size() <= kCuts + 1) {
    for (size_t k = 0; k < distinct.size(); ++k) cut_after(k);
  } else {
    for (size_t q = 1; q <= kCuts; ++q) {
      const double value = values[q * values.size() / (kCuts + 1)];
      cut_after(
          size_t(std::lower_bound(distinct.begin(), distinct.end(), value) - distinct.begin()));
    }
  }
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

}  // namespace

/// Grows one tree after the other on binned features.
class TreeGrower {
 public:
  TreeGrower(const FeatureTable& x, const BoostOptions& options)
      : options_(options), rows_(x.rows()), columns_(x.columns()), bins_(rows_ * columns_) {
    for (size_t j = 0; j < columns_; ++j) {
      cuts_.push_back(cuts_of(x, j));
      for (size_t i = 0; i < rows_; ++i)
        bins_[j * rows_ + i] = uint8_t(
            std::lower_bound(cuts_[j].begin(), cuts_[j].end(), x.at(i, j)) - cuts_[j].begin());
    }
  }

  /// A tree for `residual`, which it lowers by `rate` times what the tree says.
  std::vector<BoostedTrees::Node> grow(std::vector<double>& residual, uint64_t number) {
    residual_ = &residual;
    const Rng rng = Rng(options_.seed, stream_of("boosted trees")).fork(number);
    std::vector<size_t> seen;
    for (size_t i = 0; i < rows_; ++i)
      if (rng.uniform(i) < options_.row_share) seen.push_back(i);
    asked_.clear();
    for (size_t j = 0; j < columns_; ++j)
      if (rng.uniform(rows_ + j) < options_.column_share) asked_.push_back(j);
    if (seen.empty()) seen.push_back(size_t(rng.below(rows_ + columns_, rows_)));
    if (asked_.empty()) asked_.push_back(size_t(rng.below(rows_ + columns_ + 1, columns_)));
    tree_.clear();
    split(seen, 0);
    for (size_t i = 0; i < rows_; ++i) residual[i] -= value_for(i);
    return tree_;
  }

 private:
  struct Best {
    double gain = 1e-12;
    int column = -1;
    size_t cut = 0;
  };

  double score(double sum, double count) const { return sum * sum / (count + options_.strength); }

  Best best_split(const std::vector<size_t>& rows) const {
    Best best;
    double total = 0;
    for (size_t i : rows) total += (*residual_)[i];
    const auto least = double(options_.least_rows);
    double sums[kCuts + 1], counts[kCuts + 1];
    for (size_t j : asked_) {
      const size_t cuts = cuts_[j].size();
      std::fill_n(sums, cuts + 1, 0.0);
      std::fill_n(counts, cuts + 1, 0.0);
      for (size_t i : rows) {
        const uint8_t bin = bins_[j * rows_ + i];
        sums[bin] += (*residual_)[i];
        counts[bin] += 1;
      }
      double sum = 0, count = 0;
      for (size_t c = 0; c < cuts; ++c) {
        sum += sums[c];
        count += counts[c];
        const double rest = double(rows.size()) - count;
        if (count < least || rest < least) continue;
        const double gain =
            score(sum, count) + score(total - sum, rest) - score(total, double(rows.size()));
        if (gain > best.gain) best = {gain, int(j), c};
      }
    }
    return best;
  }

  int split(const std::vector<size_t>& rows, int depth) {
    const auto at = int(tree_.size());
    tree_.emplace_back();
    const Best best = depth < options_.depth ? best_split(rows) : Best{};
    if (best.column < 0) {
      double sum = 0;
      for (size_t i : rows) sum += (*residual_)[i];
      tree_[size_t(at)].value = options_.rate * sum / (double(rows.size()) + options_.strength);
      return at;
    }
    std::vector<size_t> below, above;
    for (size_t i : rows)
      (bins_[size_t(best.column) * rows_ + i] <= best.cut ? below : above).push_back(i);
    tree_[size_t(at)].column = best.column;
    tree_[size_t(at)].threshold = cuts_[size_t(best.column)][best.cut];
    const int left = split(below, depth + 1), right = split(above, depth + 1);
    tree_[size_t(at)].below = left;
    tree_[size_t(at)].above = right;
    return at;
  }

  /// What the tree just grown says of training row `i`.
  double value_for(size_t i) const {
    size_t at = 0;
    while (tree_[at].column >= 0) {
      const auto& cuts = cuts_[size_t(tree_[at].column)];
      const uint8_t bin = bins_[size_t(tree_[at].column) * rows_ + i];
      const bool below = bin < cuts.size() && cuts[bin] <= tree_[at].threshold;
      at = size_t(below ? tree_[at].below : tree_[at].above);
    }
    return tree_[at].value;
  }

  const BoostOptions options_;
  const size_t rows_, columns_;
  std::vector<uint8_t> bins_;  ///< [columns, rows]: the number of cuts below the value
  std::vector<std::vector<double>> cuts_;
  std::vector<double>* residual_ = nullptr;
  std::vector<size_t> asked_;
  std::vector<BoostedTrees::Node> tree_;
};

BoostedTrees BoostedTrees::fit(const FeatureTable& x, std::span<const double> y,
                               const BoostOptions& options) {
  ESP_CHECK(x.rows() == y.size() && !y.empty() && x.columns() > 0, "one number for each row");
  BoostedTrees model;
  model.first_ = std::accumulate(y.begin(), y.end(), 0.0) / double(y.size());
  std::vector<double> residual(y.begin(), y.end());
  for (double& r : residual) r -= model.first_;
  TreeGrower grower(x, options);
  for (int t = 0; t < options.trees; ++t)
    model.trees_.push_back(grower.grow(residual, uint64_t(t)));
  return model;
}

double BoostedTrees::predict(std::span<const double> row) const {
  double y = first_;
  for (const auto& tree : trees_) {
    size_t at = 0;
    while (tree[at].column >= 0)
      at = size_t(row[size_t(tree[at].column)] <= tree[at].threshold ? tree[at].below
                                                                     : tree[at].above);
    y += tree[at].value;
  }
  return y;
}

nlohmann::ordered_json BoostedTrees::to_json() const {
  auto trees = nlohmann::ordered_json::array();
  for (const auto& tree : trees_) {
    auto nodes = nlohmann::ordered_json::array();
    for (const Node& n : tree) {
      if (n.column < 0)
        nodes.push_back(nlohmann::ordered_json::array({n.value}));
      else
        nodes.push_back(nlohmann::ordered_json::array({n.column, n.threshold, n.below, n.above}));
    }
    trees.push_back(std::move(nodes));
  }
  return {{"first", first_}, {"trees", std::move(trees)}};
}

BoostedTrees BoostedTrees::from_json(const nlohmann::ordered_json& j, size_t columns) {
  BoostedTrees model;
  model.first_ = j.at("first").get<double>();
  for (const auto& nodes : j.at("trees")) {
    std::vector<Node> tree;
    const auto count = int(nodes.size());
    for (const auto& n : nodes) {
      Node node;
      if (n.size() == 1) {
        node.value = n.at(0).get<double>();
      } else {
        node.column = n.at(0).get<int>();
        node.threshold = n.at(1).get<double>();
        node.below = n.at(2).get<int>();
        node.above = n.at(3).get<int>();
        // Children behind their parents: a walk ends.
        const int here = int(tree.size());
        if (node.column < 0 || node.column >= int(columns) || node.below <= here ||
            node.above <= here || node.below >= count || node.above >= count)
          throw bad_input("tree", "leads nowhere");
      }
      tree.push_back(node);
    }
    if (tree.empty()) throw bad_input("tree", "is empty");
    model.trees_.push_back(std::move(tree));
  }
  return model;
}

}  // namespace espalier

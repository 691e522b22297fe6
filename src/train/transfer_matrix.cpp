#include "train/transfer_matrix.h"

#include <algorithm>
#include <cstdio>

namespace espalier {

double TransferMatrix::final_mean() const {
  double sum = 0;
  for (double a : accuracy.back()) sum += a / double(accuracy.back().size());
  return sum;
}

double TransferMatrix::forgetting() const {
  const size_t n = accuracy.size();
  double sum = 0;
  for (size_t j = 0; j + 1 < n; ++j) {
    double best = 0;
    for (size_t i = j; i + 1 < n; ++i) best = std::max(best, accuracy[i][j]);
    sum += (best - accuracy[n - 1][j]) / double(n - 1);
  }
  return sum;
}

double TransferMatrix::backward_transfer() const {
  const size_t n = accuracy.size();
  double sum = 0;
  for (size_t j = 0; j + 1 < n; ++j) sum += (accuracy[n - 1][j] - accuracy[j][j]) / double(n - 1);
  return sum;
}

double TransferMatrix::forward_transfer(const std::vector<double>& alone) const {
  const size_t n = accuracy.size();
  double sum = 0;
  for (size_t i = 1; i < n; ++i) sum += (accuracy[i][i] - alone[i]) / double(n - 1);
  return sum;
}

std::string TransferMatrix::text() const {
  std::string all;
  for (size_t i = 0; i < accuracy.size(); ++i) {
    all += i ? " / " : "";
    for (size_t j = 0; j < accuracy[i].size(); ++j) {
      char number[32];
      std::snprintf(number, sizeof number, "%s%.1f", j ? " " : "", 100 * accuracy[i][j]);
      all += number;
    }
  }
  return all;
}

}  // namespace espalier

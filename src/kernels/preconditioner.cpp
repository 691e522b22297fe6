#include "kernels/preconditioner.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "kernels/decompose.h"

namespace espalier::kernels {
namespace {

/// y = a b for a [n, m], b [m, k].
void multiply(int64_t n, int64_t m, int64_t k, const double* a, const double* b, double* y) {
  std::fill_n(y, n * k, 0.0);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t l = 0; l < m; ++l) {
      const double factor = a[i * m + l];
      for (int64_t j = 0; j < k; ++j) y[i * k + j] += factor * b[l * k + j];
    }
}

std::vector<double> room_for(int64_t n) { return std::vector<double>(size_t(n)); }

}  // namespace

bool refreshes(int64_t step, int64_t every) { return step <= 1 || step % every == 0; }
bool begins_period(int64_t step, int64_t every) { return (step - 1) % every == 0; }

void follow_eigenbasis(int64_t n, std::span<const double> moment, std::span<double> basis) {
  if (std::ranges::all_of(basis, [](double v) { return v == 0; })) {
    std::vector<double> values = room_for(n);
    symmetric_eigen(n, moment, values, basis);
    return;
  }
  std::vector<double> stretched = room_for(n * n);
  multiply(n, n, n, moment.data(), basis.data(), stretched.data());
  orthonormal_columns(n, n, stretched, basis);
}

void inverse_root(int64_t n, std::span<const double> moment, double power, double floor,
                  std::span<double> root) {
  std::vector<double> values = room_for(n), vectors = room_for(n * n), scaled = room_for(n * n);
  symmetric_eigen(n, moment, values, vectors);
  if (n > 0 && values[0] <= 0) {
    std::fill(root.begin(), root.end(), 0.0);
    return;
  }
  // root = V diag(l^-power) V^T; `scaled` is diag(l^-power) V^T.
  for (int64_t l = 0; l < n; ++l) {
    const double factor = std::pow(std::max(values[size_t(l)], floor * values[0]), -power);
    for (int64_t i = 0; i < n; ++i) scaled[size_t(l * n + i)] = factor * vectors[size_t(i * n + l)];
  }
  multiply(n, n, n, vectors.data(), scaled.data(), root.data());
}

void leading_directions(int64_t rows, int64_t columns, bool right, int64_t rank,
                        std::span<const double> matrix, std::span<double> directions) {
  const int64_t n = right ? columns : rows, m = right ? rows : columns;
  std::vector<double> across(matrix.begin(), matrix.end());  // [n, m]
  if (right)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < m; ++j) across[size_t(i * m + j)] = matrix[size_t(j * n + i)];
  std::vector<double> along = room_for(n * m);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < m; ++j) along[size_t(j * n + i)] = across[size_t(i * m + j)];
  std::vector<double> square = room_for(n * n), values = room_for(n), vectors = room_for(n * n);
  multiply(n, m, n, across.data(), along.data(), square.data());
  symmetric_eigen(n, square, values, vectors);
  for (int64_t k = 0; k < rank; ++k) {
    double largest = 0;
    for (int64_t i = 0; i < n; ++i)
      if (const double v = vectors[size_t(i * n + k)]; std::abs(v) > std::abs(largest)) largest = v;
    for (int64_t i = 0; i < n; ++i)
      directions[size_t(i * rank + k)] = std::copysign(1.0, largest) * vectors[size_t(i * n + k)];
  }
}

void random_directions(int64_t n, int64_t rank, uint64_t seed, uint64_t period,
                       std::span<double> directions) {
  const Rng rng = Rng(seed, stream_of("random directions")).fork(period);
  for (size_t i = 0; i < directions.size(); ++i) directions[i] = rng.normal(i);
  orthonormal_columns(n, rank, directions, directions);
}

std::vector<int64_t> turn(int64_t of, int64_t count, uint64_t seed, int64_t period) {
  // The last turn of a round takes what is left, and fills up from the front of the round's order.
  const int64_t turns = (of + count - 1) / count, place = period % turns;
  const std::vector<int64_t> order =
      Rng(seed, stream_of("turns")).fork(uint64_t(period / turns)).permutation(of);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(order[size_t((place * count + i) % of)]);
  std::ranges::sort(chosen);
  return chosen;
}

}  // namespace espalier::kernels

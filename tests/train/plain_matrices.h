// Matrices of doubles in the plainest way, to check optimisers against: Gram-Schmidt and Jacobi
// instead of what the engine uses.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "tensor/tensor.h"

namespace espalier::testing {

struct Plain {
  int64_t rows = 0, columns = 0;
  std::vector<double> v;

  Plain() = default;
  Plain(int64_t r, int64_t c) : rows(r), columns(c), v(size_t(r * c), 0.0) {}
  explicit Plain(const Tensor& t)
      : Plain(t.shape()[0], t.shape().size() > 1 ? t.size() / t.shape()[0] : 1) {
    for (int64_t i = 0; i < t.size(); ++i) v[size_t(i)] = t.at(i);
  }
  double& at(int64_t i, int64_t j) { return v[size_t(i * columns + j)]; }
  double at(int64_t i, int64_t j) const { return v[size_t(i * columns + j)]; }

  Plain transposed() const {
    Plain t(columns, rows);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) t.at(j, i) = at(i, j);
    return t;
  }
  Plain operator*(const Plain& o) const {
    Plain p(rows, o.columns);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < o.columns; ++j)
        for (int64_t k = 0; k < columns; ++k) p.at(i, j) += at(i, k) * o.at(k, j);
    return p;
  }
  Plain map(const Plain& o, const std::function<double(double, double)>& f) const {
    Plain p = *this;
    for (size_t i = 0; i < v.size(); ++i) p.v[i] = f(v[i], o.v[i]);
    return p;
  }
  Plain map(const std::function<double(double)>& f) const {
    return map(*this, [&](double x, double) { return f(x); });
  }
  Plain operator+(const Plain& o) const { return map(o, std::plus<>()); }
  Plain operator-(const Plain& o) const { return map(o, std::minus<>()); }
  Plain times(double s) const {
    return map([s](double x) { return s * x; });
  }
  double norm() const { return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0)); }
};

/// The Q of a = Q R by Gram-Schmidt.
inline Plain plain_q(Plain a) {
  for (int64_t j = 0; j < a.columns; ++j) {
    for (int64_t k = 0; k < j; ++k) {
      double dot = 0;
      for (int64_t i = 0; i < a.rows; ++i) dot += a.at(i, k) * a.at(i, j);
      for (int64_t i = 0; i < a.rows; ++i) a.at(i, j) -= dot * a.at(i, k);
    }
    double length = 0;
    for (int64_t i = 0; i < a.rows; ++i) length += a.at(i, j) * a.at(i, j);
    for (int64_t i = 0; i < a.rows; ++i) a.at(i, j) /= std::sqrt(length);
  }
  return a;
}

/// Eigenvalues (a column, falling) and eigenvectors (columns) of a symmetric matrix by Jacobi's
/// rotations.
inline std::pair<Plain, Plain> plain_eigen(Plain a) {
  const int64_t n = a.rows;
  Plain q(n, n);
  for (int64_t i = 0; i < n; ++i) q.at(i, i) = 1;
  for (int sweep = 0; sweep < 60; ++sweep)
    for (int64_t p = 0; p < n; ++p)
      for (int64_t r = p + 1; r < n; ++r) {
        if (a.at(p, r) == 0) continue;
        const double angle = 0.5 * std::atan2(2 * a.at(p, r), a.at(r, r) - a.at(p, p));
        Plain turn(n, n);
        for (int64_t i = 0; i < n; ++i) turn.at(i, i) = 1;
        turn.at(p, p) = turn.at(r, r) = std::cos(angle);
        turn.at(p, r) = std::sin(angle);
        turn.at(r, p) = -std::sin(angle);
        a = turn.transposed() * a * turn;
        q = q * turn;
      }
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](int64_t x, int64_t y) { return a.at(x, x) > a.at(y, y); });
  Plain values(n, 1), vectors(n, n);
  for (int64_t j = 0; j < n; ++j) {
    values.at(j, 0) = a.at(order[size_t(j)], order[size_t(j)]);
    for (int64_t i = 0; i < n; ++i) vectors.at(i, j) = q.at(i, order[size_t(j)]);
  }
  return {values, vectors};
}

/// The first columns of a matrix.
inline Plain leading(const Plain& a, int64_t count) {
  Plain p(a.rows, count);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < count; ++j) p.at(i, j) = a.at(i, j);
  return p;
}

}  // namespace espalier::testing

// QR, eigenvectors, inverse roots, directions and turns against what defines them.
#include "kernels/decompose.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "base/rng.h"
#include "kernels/preconditioner.h"

namespace espalier::kernels {
namespace {

using Doubles = std::vector<double>;

Doubles drawn(int64_t n, uint64_t stream) {
  Doubles v(static_cast<size_t>(n));
  for (size_t i = 0; i < v.size(); ++i) v[i] = Rng(1, stream).normal(i);
  return v;
}

/// a^T b of [n, r] and [n, c].
Doubles inner(int64_t n, int64_t r, int64_t c, const Doubles& a, const Doubles& b) {
  Doubles y(size_t(r * c), 0.0);
  for (int64_t k = 0; k < n; ++k)
    for (int64_t i = 0; i < r; ++i)
      for (int64_t j = 0; j < c; ++j)
        y[size_t(i * c + j)] += a[size_t(k * r + i)] * b[size_t(k * c + j)];
  return y;
}

void expect_orthonormal(int64_t n, int64_t columns, const Doubles& q) {
  const Doubles square = inner(n, columns, columns, q, q);
  for (int64_t i = 0; i < columns; ++i)
    for (int64_t j = 0; j < columns; ++j)
      EXPECT_NEAR(square[size_t(i * columns + j)], i == j ? 1 : 0, 1e-12);
}

TEST(Decompose, OrthonormalColumnsSpanWhatTheyAreOf) {
  const int64_t n = 37, columns = 12;
  const Doubles a = drawn(n * columns, 1);
  Doubles q(a.size());
  orthonormal_columns(n, columns, a, q);
  expect_orthonormal(n, columns, q);
  // R = Q^T a has nothing below its diagonal and nothing negative on it.
  const Doubles r = inner(n, columns, columns, q, a);
  for (int64_t i = 0; i < columns; ++i) {
    EXPECT_GT(r[size_t(i * columns + i)], 0);
    for (int64_t j = 0; j < i; ++j) EXPECT_NEAR(r[size_t(i * columns + j)], 0, 1e-12);
  }
  Doubles in_place = a;
  orthonormal_columns(n, columns, in_place, in_place);
  EXPECT_EQ(in_place, q);
}

TEST(Decompose, DependentColumnsStillGiveABasis) {
  Doubles a(20 * 4, 0.0), q(a.size());
  for (size_t i = 0; i < 20; ++i) a[i * 4] = a[i * 4 + 1] = double(i) - 3;
  orthonormal_columns(20, 4, a, q);
  expect_orthonormal(20, 4, q);
}

TEST(Decompose, EigenvectorsOfTheSymmetricPart) {
  const int64_t n = 33;
  Doubles a = drawn(n * n, 2), values(static_cast<size_t>(n)), vectors(a.size());
  symmetric_eigen(n, a, values, vectors);
  expect_orthonormal(n, n, vectors);
  EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < n; ++k) {
      double product = 0;
      for (int64_t j = 0; j < n; ++j)
        product += 0.5 * (a[size_t(i * n + j)] + a[size_t(j * n + i)]) * vectors[size_t(j * n + k)];
      EXPECT_NEAR(product, values[size_t(k)] * vectors[size_t(i * n + k)], 1e-11);
    }
}

TEST(Decompose, WhatIsNotFiniteGivesNoNumbers) {
  Doubles a = {1, 0, 0, INFINITY}, values(2), vectors(4);
  symmetric_eigen(2, a, values, vectors);
  for (double v : values) EXPECT_TRUE(std::isnan(v));
  orthonormal_columns(2, 2, a, vectors);
  for (double v : vectors) EXPECT_TRUE(std::isnan(v));
}

TEST(Preconditioner, PowerMethodFindsTheEigenbasis) {
  const int64_t n = 8;
  const Doubles half = drawn(n * n, 3), moment = inner(n, n, n, half, half);
  Doubles basis(moment.size(), 0.0);
  Doubles begun = drawn(n * n, 4);
  follow_eigenbasis(n, moment, basis);
  orthonormal_columns(n, n, begun, begun);
  for (int i = 0; i < 2000; ++i) follow_eigenbasis(n, moment, begun);
  // From anywhere it arrives at the eigenvectors, but for their signs.
  const Doubles match = inner(n, n, n, basis, begun);
  for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(std::abs(match[size_t(i * n + i)]), 1, 1e-6);
}

TEST(Preconditioner, InverseRootToItsPowerIsTheInverse) {
  const int64_t n = 6;
  const Doubles half = drawn(n * n, 5), moment = inner(n, n, n, half, half);
  Doubles root(moment.size());
  inverse_root(n, moment, 0.25, 1e-12, root);
  Doubles product = inner(n, n, n, root, root);  // moment^(-1/2)
  product = inner(n, n, n, product, product);
  product = inner(n, n, n, product, moment);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) EXPECT_NEAR(product[size_t(i * n + j)], i == j ? 1 : 0, 1e-8);
  // Of diag(4, 0) the second counts as 0.01 * 4.
  Doubles small(4);
  inverse_root(2, Doubles{4, 0, 0, 0}, 0.5, 0.01, small);
  EXPECT_NEAR(small[0], 0.5, 1e-12);
  EXPECT_NEAR(small[3], 5, 1e-12);
  inverse_root(2, Doubles(4, 0.0), 0.5, 0.01, small);
  EXPECT_EQ(small, Doubles(4, 0.0));
}

TEST(Preconditioner, LeadingDirectionsHoldTheMost) {
  // Two directions carry all of this matrix [5, 7].
  Doubles left = drawn(5 * 2, 6), right = drawn(7 * 2, 7), matrix(5 * 7, 0.0);
  for (size_t i = 0; i < 5; ++i)
    for (size_t j = 0; j < 7; ++j)
      for (size_t k = 0; k < 2; ++k) matrix[i * 7 + j] += left[i * 2 + k] * right[j * 2 + k];
  for (const bool to_right : {false, true}) {
    const int64_t n = to_right ? 7 : 5;
    Doubles d(size_t(n * 2));
    leading_directions(5, 7, to_right, 2, matrix, d);
    expect_orthonormal(n, 2, d);
    double held = 0, whole = 0;
    for (double v : matrix) whole += v * v;
    for (size_t k = 0; k < 2; ++k)
      for (int64_t other = 0; other < (to_right ? 5 : 7); ++other) {
        double dot = 0;
        for (int64_t i = 0; i < n; ++i)
          dot += d[size_t(i * 2) + k] * matrix[size_t(to_right ? other * 7 + i : i * 7 + other)];
        held += dot * dot;
      }
    EXPECT_NEAR(held, whole, 1e-10 * whole);
  }
}

TEST(Preconditioner, RandomDirectionsChangeWithTheirPeriod) {
  Doubles a(9 * 3), b(a.size()), again(a.size());
  random_directions(9, 3, 5, 0, a);
  random_directions(9, 3, 5, 1, b);
  random_directions(9, 3, 5, 0, again);
  expect_orthonormal(9, 3, a);
  EXPECT_EQ(a, again);
  EXPECT_NE(a, b);
}

TEST(Preconditioner, EachHasATurnBeforeOneHasItsSecond) {
  for (int round = 0; round < 3; ++round) {
    std::set<int64_t> seen;
    for (int64_t place = 0; place < 4; ++place) {
      const auto chosen = turn(12, 3, 9, round * 4 + place);
      ASSERT_EQ(chosen.size(), 3u);
      EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
      seen.insert(chosen.begin(), chosen.end());
    }
    EXPECT_EQ(seen.size(), 12u);
  }
  EXPECT_NE(turn(12, 3, 9, 0), turn(12, 3, 9, 4));
  std::set<int64_t> seen;
  for (int64_t place = 0; place < 3; ++place) {
    const auto chosen = turn(7, 3, 9, place);
    EXPECT_EQ(std::set<int64_t>(chosen.begin(), chosen.end()).size(), 3u);
    seen.insert(chosen.begin(), chosen.end());
  }
  EXPECT_EQ(seen.size(), 7u);
}

}  // namespace
}  // namespace espalier::kernels

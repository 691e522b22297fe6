#include "kernels/decompose.h"

#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <limits>

namespace espalier::kernels {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<Matrix>;
using ConstView = Eigen::Map<const Matrix>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

void orthonormal_columns(int64_t rows, int64_t columns, std::span<const double> a,
                         std::span<double> q) {
  const ConstView from(a.data(), rows, columns);
  View to(q.data(), rows, columns);
  if (columns == 0) return;
  if (!from.allFinite()) {
    to.setConstant(kNan);
    return;
  }
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(from);
  Eigen::MatrixXd thin = qr.householderQ() * Eigen::MatrixXd::Identity(rows, columns);
  for (int64_t j = 0; j < columns; ++j)
    if (qr.matrixQR()(j, j) < 0) thin.col(j) *= -1;
  to = thin;
}

void symmetric_eigen(int64_t n, std::span<const double> a, std::span<double> values,
                     std::span<double> vectors) {
  const ConstView from(a.data(), n, n);
  Eigen::Map<Eigen::VectorXd> falling(values.data(), n);
  View columns(vectors.data(), n, n);
  if (n == 0) return;
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver;
  if (from.allFinite()) solver.compute(0.5 * (from + from.transpose()));
  if (!from.allFinite() || solver.info() != Eigen::Success) {
    falling.setConstant(kNan);
    columns.setConstant(kNan);
    return;
  }
  falling = solver.eigenvalues().reverse();
  columns = solver.eigenvectors().rowwise().reverse();
}

}  // namespace espalier::kernels

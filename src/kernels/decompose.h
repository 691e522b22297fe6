// Decompositions of small dense matrices, in double, row-major. They run on the calling thread, so
// that their results do not depend on how many there are. Operands that are not finite give results
// that are not a number.
#pragma once

#include <cstdint>
#include <span>

namespace espalier::kernels {

/// The Q of a = Q R for a [rows, columns], rows >= columns: q [rows, columns] has orthonormal
/// columns, and R no negative number on its diagonal. q may be a.
void orthonormal_columns(int64_t rows, int64_t columns, std::span<const double> a,
                         std::span<double> q);

/// Of the symmetric part of a [n, n]: eigenvalues [n] falling, and eigenvectors [n, n], a column
/// each.
void symmetric_eigen(int64_t n, std::span<const double> a, std::span<double> values,
                     std::span<double> vectors);

}  // namespace espalier::kernels

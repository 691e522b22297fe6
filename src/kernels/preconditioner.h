// What optimisers with a curvature of their own compute now and then between their steps: rotations
// into an eigenbasis, inverse roots, subspaces. In double, row-major, on the calling thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace espalier::kernels {

/// Whether step number `step` (from 1) is one after which a basis is refreshed: the first, and
/// every `every`-th.
bool refreshes(int64_t step, int64_t every);
/// Whether it is the first of a period of `every` steps.
bool begins_period(int64_t step, int64_t every);

/// The eigenbasis of a second moment [n, n], columns by falling eigenvalue, followed from `basis`
/// by one step of the power method with QR (Vyas et al. 2024, arXiv:2409.11321, algorithm 4); found
/// anew where `basis` is zero.
void follow_eigenbasis(int64_t n, std::span<const double> moment, std::span<double> basis);

/// moment^-power [n, n]. Eigenvalues count as at least `floor` times the largest; of a moment
/// without any above zero the root is zero.
void inverse_root(int64_t n, std::span<const double> moment, double power, double floor,
                  std::span<double> root);

/// The directions [n, rank] in which a matrix [rows, columns] is longest: its leading left singular
/// vectors (n = rows), or right ones (n = columns). The largest element of each is positive, so
/// that moments kept along a direction keep their meaning when it has hardly changed.
void leading_directions(int64_t rows, int64_t columns, bool right, int64_t rank,
                        std::span<const double> matrix, std::span<double> directions);
/// Orthonormal directions [n, rank] drawn at random for a key.
void random_directions(int64_t n, int64_t rank, uint64_t seed, uint64_t period,
                       std::span<double> directions);

/// Which `count` of 0 … of-1 have their turn in a period, ascending. Every index has had a turn
/// before one has its second; the order is drawn anew for each round.
std::vector<int64_t> turn(int64_t of, int64_t count, uint64_t seed, int64_t period);

}  // namespace espalier::kernels

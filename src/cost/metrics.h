// How good predictions of positive numbers are.
#pragma once

#include <span>

namespace espalier {

/// The mean of |predicted - actual| / actual, as a fraction. `actual` must be positive.
double mean_relative_error(std::span<const double> predicted, std::span<const double> actual);

/// Kendall's tau-b: 1 where both order all pairs alike, -1 where oppositely; ties in either count
/// for neither. 0 where all of one are equal. In n log n steps (Knight, "A computer method for
/// calculating Kendall's tau with ungrouped data", JASA 1966).
double kendall_tau(std::span<const double> a, std::span<const double> b);

}  // namespace espalier

// The discrete Fourier transform of one line of complex numbers.
#pragma once

#include <complex>
#include <vector>

#include "ops/common.h"

namespace espalier::ops {

class Fourier {
 public:
  /// y[k] = sum_j x[j] e^(-2 pi i j k / n), or with e^(+...) / n the inverse of that.
  Fourier(int64_t n, bool inverse);
  /// The transform of n numbers. Takes n log n steps where n is a power of two; n^2 where it is
  /// odd.
  const std::vector<std::complex<double>>& operator()(const std::vector<std::complex<double>>& x);

 private:
  void transform(const std::complex<double>* x, int64_t step, int64_t n, std::complex<double>* y);

  int64_t n_;
  double scale_;
  std::vector<std::complex<double>> turns_;  ///< the n-th roots of unity
  std::vector<std::complex<double>> y_;
};

/// How many results of a transform of length n are kept.
inline int64_t spectrum_length(int64_t n, bool onesided) { return onesided ? n / 2 + 1 : n; }
/// Floating-point operations of that many transforms.
double fourier_flops(double lines, int64_t n);
/// Refuses an operand whose last axis is not one (real) or two (complex) numbers long.
void require_complex(const TypesIn& in, size_t i);
/// Refuses an operand that is no integer scalar; its value where known, which must be positive.
std::optional<int64_t> positive_scalar(const TypesIn& in, size_t i);

}  // namespace espalier::ops

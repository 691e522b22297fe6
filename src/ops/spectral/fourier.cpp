#include "ops/spectral/fourier.h"

#include <cmath>
#include <numbers>

namespace espalier::ops {

using Complex = std::complex<double>;

Fourier::Fourier(int64_t n, bool inverse)
    : n_(n), scale_(inverse ? 1 / double(n) : 1), y_(size_t(n)) {
  const double turn = (inverse ? 2 : -2) * std::numbers::pi / double(n);
  for (int64_t k = 0; k < n; ++k) turns_.push_back(std::polar(1.0, turn * double(k)));
}

// Even lengths are two transforms of half the length (Cooley & Tukey, 1965).
void Fourier::transform(const Complex* x, int64_t step, int64_t n, Complex* y) {
  const int64_t scale = n_ / n;
  if (n % 2 != 0) {
    for (int64_t k = 0; k < n; ++k) {
      y[k] = 0;
      for (int64_t j = 0; j < n; ++j) y[k] += x[j * step] * turns_[size_t(j * k % n * scale)];
    }
    return;
  }
  const int64_t half = n / 2;
  transform(x, 2 * step, half, y);
  transform(x + step, 2 * step, half, y + half);
  for (int64_t k = 0; k < half; ++k) {
    const Complex even = y[k], odd = y[k + half] * turns_[size_t(k * scale)];
    y[k] = even + odd;
    y[k + half] = even - odd;
  }
}

const std::vector<Complex>& Fourier::operator()(const std::vector<Complex>& x) {
  transform(x.data(), 1, n_, y_.data());
  for (Complex& v : y_) v *= scale_;
  return y_;
}

double fourier_flops(double lines, int64_t n) {
  return lines * 5 * double(n) * std::max(1.0, std::log2(double(n)));
}

void require_complex(const TypesIn& in, size_t i) {
  require_float(in, i);
  if (in[i].rank() < 2 || !(in[i].dims.back().is(1) || in[i].dims.back().is(2)))
    in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]),
            "its last axis must hold one (real) or two (complex) numbers");
}

std::optional<int64_t> positive_scalar(const TypesIn& in, size_t i) {
  if ((in[i].dtype != DType::i64 && in[i].dtype != DType::i32) || in[i].rank() > 1)
    in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + ", an integer is needed");
  const Tensor* t = in.constant(i);
  if (!t) return std::nullopt;
  if (t->size() != 1 || t->int_at(0) < 1 || t->int_at(0) > (int64_t{1} << 30))
    in.fail("operand " + std::to_string(i) + " must be one number above 0");
  return t->int_at(0);
}

}  // namespace espalier::ops

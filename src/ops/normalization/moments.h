// What normalisations by mean and variance share.
#pragma once

#include <cmath>

#include "ops/common.h"

namespace espalier::ops {

/// A value less its mean over some axes, and the variance over them, these kept as extents of 1.
struct Centred {
  ValueId x, var;
};
Centred centred(Builder& b, ValueId x, const std::vector<int64_t>& axes);
/// (x - mean) / sqrt(var + epsilon), the statistics over `axes`.
ValueId standardised(Builder& b, ValueId x, const std::vector<int64_t>& axes, float epsilon);
/// scale x + bias of x [N, C, ...], scale [C] and bias [C].
ValueId scaled_by_channel(Builder& b, ValueId x, ValueId scale, ValueId bias);

/// Refuses an epsilon below 0, operands that are not x [N, C, ...], scale [C] and bias [C] of one
/// float type, and an x of fewer than `least_rank` (2 or more) axes, with that hint.
void require_channel_scales(const TypesIn& in, float epsilon, int64_t least_rank, const char* hint);

/// scale (x - mean) / sqrt(var + epsilon) + bias of those operands, the statistics over each
/// `count` elements in a row, in double.
template <class Real>
void standardise_rows(Ref<Real>& r, int64_t count, float epsilon) {
  const Shape& shape = r.shape(0);
  const int64_t plane = product(shape, 2, shape.size());
  const auto x = r.real(0), scale = r.real(1), bias = r.real(2);
  const auto y = r.out_real(0);
  const auto size = int64_t(x.size());
  for (int64_t first = 0; first < size; first += count) {
    double mean = 0, var = 0;
    for (int64_t i = first; i < first + count; ++i) mean += double(x[size_t(i)]);
    mean /= double(count);
    for (int64_t i = first; i < first + count; ++i) var += std::pow(double(x[size_t(i)]) - mean, 2);
    const double inv_std = 1 / std::sqrt(var / double(count) + double(epsilon));
    for (int64_t i = first; i < first + count; ++i) {
      const auto c = size_t(i / plane % shape[1]);
      const double h = (double(x[size_t(i)]) - mean) * inv_std;
      y[size_t(i)] = Real(h * double(scale[c]) + double(bias[c]));
    }
  }
}

}  // namespace espalier::ops

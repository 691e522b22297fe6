// From stored elements to network inputs: (element - mean) / deviation, per channel.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace espalier {

/// In units of stored elements. One entry per channel (feature for flat samples), or one for all.
struct Normalization {
  std::vector<double> mean = {0}, deviation = {1};

  double apply(double element, int64_t channel) const {
    const size_t c = mean.size() == 1 ? 0 : size_t(channel);
    return (element - mean[c]) / deviation[c];
  }
};

/// The names a data spec accepts, for help texts: "raw", "unit", "imagenet", …
std::string normalization_names();

/// `scheme` is a name, or "M,M,M/S,S,S": means and deviations for elements in [0, 1] (one, or one
/// per channel). Empty means "unit" for bytes and "raw" for floats. Bytes count as 0..1 in named
/// schemes and lists, except "raw". "standard" is not answered here: it depends on data. Throws
/// UserError(usage) naming the schemes.
Normalization parse_normalization(const std::string& scheme, DType stored, int64_t channels);
/// Whether the scheme is "standard": zero mean and unit deviation per channel over `rows`.
bool is_standard_normalization(const std::string& scheme);
/// Means and deviations over `rows` of samples [*, channels, ...]. A constant channel keeps
/// deviation 1.
Normalization measure_normalization(const Tensor& samples, std::span<const int64_t> rows);

}  // namespace espalier

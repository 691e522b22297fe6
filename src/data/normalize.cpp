#include "data/normalize.h"

#include <array>
#include <charconv>
#include <cmath>

namespace espalier {
namespace {

struct Scheme {
  const char* name;
  std::vector<double> mean, deviation;  // for elements in [0, 1]
};

// Statistics of the training sets as their users publish them (torchvision's for ImageNet).
const std::vector<Scheme>& schemes() {
  static const std::vector<Scheme> table = {
      {"unit", {0}, {1}},
      {"symmetric", {0.5}, {0.5}},
      {"imagenet", {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}},
      {"cifar10", {0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616}},
      {"cifar100", {0.5071, 0.4865, 0.4409}, {0.2673, 0.2564, 0.2762}},
      {"mnist", {0.1307}, {0.3081}},
      {"fashion-mnist", {0.2860}, {0.3530}},
  };
  return table;
}

std::vector<double> numbers(const std::string& scheme, std::string_view list) {
  std::vector<double> values;
  while (true) {
    const size_t comma = list.find(',');
    const std::string_view item = list.substr(0, comma);
    double value = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), value);
    if (error != std::errc() || end != item.data() + item.size() || !std::isfinite(value))
      throw usage_error("normalize=" + scheme,
                        "'" + std::string(item) + "' is neither a scheme nor a number",
                        "schemes are " + normalization_names());
    values.push_back(value);
    if (comma == list.npos) return values;
    list.remove_prefix(comma + 1);
  }
}

Normalization scaled(const std::string& scheme, std::vector<double> mean,
                     std::vector<double> deviation, double scale, int64_t channels) {
  for (const auto* list : {&mean, &deviation})
    if (list->size() != 1 && int64_t(list->size()) != channels)
      throw usage_error("normalize=" + scheme, "has " + std::to_string(list->size()) +
                                                   " channels, the samples have " +
                                                   std::to_string(channels));
  mean.resize(std::max(mean.size(), deviation.size()), mean[0]);
  deviation.resize(mean.size(), deviation[0]);
  for (double& m : mean) m *= scale;
  for (double& d : deviation) {
    if (d <= 0) throw usage_error("normalize=" + scheme, "deviations must be positive");
    d *= scale;
  }
  return {std::move(mean), std::move(deviation)};
}

}  // namespace

std::string normalization_names() {
  std::string names = "raw, standard";
  for (const Scheme& s : schemes()) names += std::string(", ") + s.name;
  return names + ", or MEANS/DEVIATIONS as in 0.5,0.5,0.5/0.25,0.25,0.25";
}

bool is_standard_normalization(const std::string& scheme) { return scheme == "standard"; }

Normalization parse_normalization(const std::string& scheme, DType stored, int64_t channels) {
  const bool bytes = stored == DType::u8;
  const double scale = bytes ? 255.0 : 1.0;
  if (scheme == "raw" || (scheme.empty() && !bytes)) return {};
  const std::string name = scheme.empty() ? "unit" : scheme;
  for (const Scheme& s : schemes())
    if (s.name == name) return scaled(scheme, s.mean, s.deviation, scale, channels);
  const size_t slash = name.find('/');
  if (slash == name.npos)
    throw usage_error("normalize=" + scheme, "is not known",
                      "schemes are " + normalization_names());
  return scaled(scheme, numbers(scheme, std::string_view(name).substr(0, slash)),
                numbers(scheme, std::string_view(name).substr(slash + 1)), scale, channels);
}

Normalization measure_normalization(const Tensor& samples, std::span<const int64_t> rows) {
  const int64_t channels = samples.rank() > 1 ? samples.shape()[1] : 1;
  const int64_t pixels =
      product(samples.shape(), std::min<size_t>(2, samples.shape().size()), samples.shape().size());
  std::vector<double> sum(size_t(channels), 0.0), squares(size_t(channels), 0.0);
  visit_numeric(samples.dtype(), [&](auto tag) {
    const auto* data = samples.data<decltype(tag)>();
    for (int64_t row : rows)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t p = 0; p < pixels; ++p) {
          const double v = convert_element<double>(data[(row * channels + c) * pixels + p]);
          sum[size_t(c)] += v;
          squares[size_t(c)] += v * v;
        }
  });
  Normalization result{std::vector<double>(size_t(channels), 0.0),
                       std::vector<double>(size_t(channels), 1.0)};
  const double count = double(rows.size()) * double(pixels);
  if (count == 0) return result;
  for (size_t c = 0; c < size_t(channels); ++c) {
    result.mean[c] = sum[c] / count;
    const double variance = squares[c] / count - result.mean[c] * result.mean[c];
    // Below the rounding of the sums a channel is constant.
    if (variance > 1e-12 * squares[c] / count) result.deviation[c] = std::sqrt(variance);
  }
  return result;
}

}  // namespace espalier

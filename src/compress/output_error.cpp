#include "compress/output_error.h"

#include <cmath>
#include <limits>

#include "runtime/session.h"

namespace espalier {

OutputError::OutputError(const Graph& reference, std::span<const std::vector<Tensor>> batches)
    : batches_(batches.begin(), batches.end()) {
  Model model(reference);
  for (const auto& inputs : batches_) {
    wanted_.push_back(model.run(inputs));
    for (const Tensor& t : wanted_.back())
      for (int64_t i = 0; i < t.size(); ++i)
        if (std::isfinite(t.at(i))) energy_ += t.at(i) * t.at(i);
  }
}

double OutputError::of(const Graph& graph) const {
  Model model(graph);
  double error = 0;
  for (size_t b = 0; b < batches_.size(); ++b) {
    const auto got = model.run(batches_[b]);
    for (size_t t = 0; t < got.size(); ++t)
      for (int64_t i = 0; i < got[t].size(); ++i) {
        const double is = got[t].at(i), wanted = wanted_[b][t].at(i);
        if (is != wanted) error += (is - wanted) * (is - wanted);
      }
  }
  const double relative = energy_ > 0 ? std::sqrt(error / energy_) : std::sqrt(error);
  return std::isfinite(relative) ? relative : std::numeric_limits<double>::infinity();
}

}  // namespace espalier

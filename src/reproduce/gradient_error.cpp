#include "reproduce/gradient_error.h"

#include <algorithm>
#include <cmath>

#include "ir/builder.h"
#include "train/step_session.h"

namespace espalier {
namespace {

std::string told_name(const std::string& parameter) { return parameter + ":gradient"; }

}  // namespace

StepExtension gradients_told() {
  return {[](StepGraph& s) {
            Builder b(s.graph);
            for (const StepParameter& p : s.parameters)
              s.add_output(told_name(p.name), b.one("Identity", {p.gradient}));
          },
          {}};
}

std::map<std::string, Tensor> gradients_of(const StepGraph& step, const Batch& batch) {
  StepSession session(step);
  session.run(batch, 0, 1);
  std::map<std::string, Tensor> all;
  for (const StepParameter& p : step.parameters) all[p.name] = session.output(told_name(p.name));
  return all;
}

double largest_difference(const std::map<std::string, Tensor>& a,
                          const std::map<std::string, Tensor>& b) {
  double largest = 0;
  for (const auto& [name, x] : a) {
    const Tensor& y = b.at(name);
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < x.size(); ++i) {
      difference += std::pow(x.at(i) - y.at(i), 2);
      norm += std::pow(x.at(i), 2);
    }
    if (difference == 0) continue;
    const double share = std::sqrt(difference / norm);
    largest = std::isfinite(share) ? std::max(largest, share) : share;
  }
  return largest;
}

}  // namespace espalier

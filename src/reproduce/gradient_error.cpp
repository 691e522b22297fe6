#include "reproduce/gradient_error.h"

#include <algorithm>
#include <cmath>

#include "ir/builder.h"
#include "train/step_session.h"

namespace espalier {
namespace {

std::string told_name(const std::string& parameter) { return parameter + ":gradient"; }

struct Squares {
  double distance = 0, norm = 0;  ///< of a - b and of a
};

Squares compared(const Tensor& a, const Tensor& b) {
  Squares s;
  for (int64_t i = 0; i < a.size(); ++i) {
    s.distance += std::pow(a.at(i) - b.at(i), 2);
    s.norm += std::pow(a.at(i), 2);
  }
  return s;
}

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
                          const std::map<std::string, Tensor>& b, double least) {
  double all = 0, elements = 0;
  for (const auto& [name, x] : a) {
    all += compared(x, x).norm;
    elements += double(x.size());
  }
  double largest = 0;
  for (const auto& [name, x] : a) {
    const Squares s = compared(x, b.at(name));
    if (s.distance == 0) continue;
    const double floor = least * least * all * double(x.size()) / elements;
    const double share = std::sqrt(s.distance / std::max(s.norm, floor));
    largest = std::isfinite(share) ? std::max(largest, share) : share;
  }
  return largest;
}

double whole_difference(const std::map<std::string, Tensor>& a,
                        const std::map<std::string, Tensor>& b) {
  Squares sum;
  for (const auto& [name, x] : a) {
    const Squares s = compared(x, b.at(name));
    sum.distance += s.distance;
    sum.norm += s.norm;
  }
  return std::sqrt(sum.distance / sum.norm);
}

}  // namespace espalier

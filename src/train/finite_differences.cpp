#include "train/finite_differences.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"

namespace espalier {

void feed_gradients(RuleStep& rule, std::shared_ptr<GradientEstimator> estimator) {
  if (rule.options().precision != DType::f32)
    throw unsupported("rule '" + rule.options().rule.kind + "'",
                      "looks at small differences of the loss, which bf16 rounds away",
                      "precision: f32");
  StepGraph& s = rule.step();
  for (StepParameter& p : s.parameters) {
    const std::string name = s.graph.fresh_name(p.name + ":gradient");
    p.gradient = s.add_input(name, Tensor(DType::f32, s.graph.value(p.value).tensor().shape()));
    s.fed_gradients.push_back(name);
  }
  s.estimator = std::move(estimator);
}

void Directions::add(int64_t number, int64_t i, double by, std::vector<Tensor>& to) const {
  const Rng rng = Rng(seed, uint64_t(number)).fork(uint64_t(i));
  uint64_t stream = 0;
  for (Tensor& t : to) {
    const Rng own = rng.fork(stream++);
    float* p = t.mutable_data<float>();
    const int64_t n = t.size();
    if (normal) {
      for (int64_t e = 0; e < n; ++e) p[e] += float(by * own.normal(uint64_t(e)));
      continue;
    }
    constexpr int64_t kBits = 64;
    const auto up = float(by), down = float(-by);
    for (int64_t e = 0; e < n; e += kBits) {
      const uint64_t bits = own.bits(uint64_t(e / kBits));
      const int64_t end = std::min(n, e + kBits);
      for (int64_t k = e; k < end; ++k) p[k] += (bits >> (k - e)) & 1 ? up : down;
    }
  }
}

std::vector<Tensor> slope_along(PerturbedForward& forward, const Directions& directions,
                                int64_t number, int64_t count, double radius, bool two_sided,
                                double loss, const std::vector<Tensor>* moved_by) {
  const int64_t sides = two_sided ? 2 : 1;
  const std::vector<double> losses =
      forward.elsewhere(count * sides, [&](int64_t i, std::vector<Tensor>& point) {
        if (moved_by)
          for (size_t p = 0; p < point.size(); ++p)
            for (int64_t e = 0; e < point[p].size(); ++e)
              point[p].mutable_data<float>()[e] += (*moved_by)[p].data<float>()[e];
        directions.add(number, i / sides, i % sides == 0 ? radius : -radius, point);
      });
  std::vector<Tensor> gradients;
  for (const Tensor& p : forward.parameters()) gradients.emplace_back(DType::f32, p.shape());
  for (int64_t i = 0; i < count; ++i) {
    const double rise =
        two_sided ? losses[size_t(2 * i)] - losses[size_t(2 * i + 1)] : losses[size_t(i)] - loss;
    directions.add(number, i, rise / (double(sides) * radius * double(count)), gradients);
  }
  return gradients;
}

}  // namespace espalier

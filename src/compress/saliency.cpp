#include "compress/saliency.h"

#include <cmath>
#include <limits>

#include "base/error.h"

namespace espalier {
namespace {

/// Calls f(index) for the elements of a tensor of `shape` at the slice's positions.
template <class F>
void each_element(const AxisSlice& s, const Shape& shape, F f) {
  const int64_t extent = shape[size_t(s.axis)];
  const int64_t outer = product(shape, 0, size_t(s.axis));
  const int64_t inner = product(shape, size_t(s.axis) + 1, shape.size());
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t p : s.positions)
      for (int64_t i = 0; i < inner; ++i) f((o * extent + p) * inner + i);
}

/// f(group) for groups that may be cut, infinity for the rest.
template <class F>
Saliency score(const AxisClasses& classes, F f) {
  Saliency scores;
  for (const AxisClass& c : classes.classes) {
    auto& of_class = scores.emplace_back();
    for (const AxisGroup& g : c.groups)
      of_class.push_back(c.silenceable() ? f(g) : std::numeric_limits<double>::infinity());
  }
  return scores;
}

/// f(slice, value) for the group's producing parameters.
template <class F>
void each_parameter(const AxisClasses& classes, const AxisGroup& group, const TensorOf& parameters,
                    F f) {
  for (const AxisSlice& s : group.slices) {
    const Value& v = classes.graph.value(s.value);
    if (!s.produces || v.role == Role::kBuffer || !is_float(v.tensor().dtype)) continue;
    const Tensor* t = parameters(v.name);
    if (!t) continue;
    ESP_CHECK(t->shape() == v.tensor().shape(),
              "'" + v.name + "' has another shape than the class");
    f(s, v.name, *t);
  }
}

}  // namespace

TensorOf constants_of(const AxisClasses& classes) {
  return [&classes](const std::string& name) -> const Tensor* {
    const ValueId v = classes.graph.find(name);
    return v != kNoValue && classes.graph.is_constant(v) ? &*classes.graph.value(v).constant
                                                         : nullptr;
  };
}

Saliency magnitude(const AxisClasses& classes, const TensorOf& parameters) {
  return score(classes, [&](const AxisGroup& group) {
    double squares = 0;
    int64_t count = 0;
    each_parameter(classes, group, parameters,
                   [&](const AxisSlice& s, const std::string&, const Tensor& t) {
                     each_element(s, t.shape(), [&](int64_t i) {
                       squares += t.at(i) * t.at(i);
                       ++count;
                     });
                   });
    return count ? std::sqrt(squares / double(count)) : 0;
  });
}

Saliency taylor(const AxisClasses& classes, const TensorOf& parameters, const TensorOf& gradients) {
  return score(classes, [&](const AxisGroup& group) {
    double change = 0;
    each_parameter(classes, group, parameters,
                   [&](const AxisSlice& s, const std::string& name, const Tensor& t) {
                     const Tensor* g = gradients(name);
                     if (!g) return;
                     each_element(s, t.shape(), [&](int64_t i) { change += t.at(i) * g->at(i); });
                   });
    return std::abs(change);
  });
}

void normalise(Saliency& saliency) {
  double sum = 0, count = 0;
  for (const auto& c : saliency)
    for (double s : c)
      if (std::isfinite(s)) {
        sum += s;
        ++count;
      }
  for (auto& c : saliency)
    for (double& s : c)
      if (std::isfinite(s)) s = sum > 0 ? s / sum : 1 / count;
}

Saliency mixed(std::vector<Saliency> criteria) {
  ESP_CHECK(!criteria.empty(), "a mix of no criteria");
  for (Saliency& s : criteria) normalise(s);
  Saliency mean = criteria[0];
  for (size_t c = 0; c < mean.size(); ++c)
    for (size_t i = 0; i < mean[c].size(); ++i) {
      double sum = 0;
      for (const Saliency& s : criteria) sum += s[c][i];
      mean[c][i] = sum / double(criteria.size());
    }
  return mean;
}

}  // namespace espalier

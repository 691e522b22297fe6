#include "recipe/initialise.h"

#include <cmath>

#include "base/rng.h"

namespace espalier {
namespace {

template <class Draw>
Tensor drawn(const Shape& shape, uint64_t seed, const std::string& name, Draw draw) {
  Tensor t(DType::f32, shape);
  const Rng rng(seed, stream_of(name));
  float* p = t.mutable_data<float>();
  for (int64_t i = 0; i < t.size(); ++i) p[i] = float(draw(rng, uint64_t(i)));
  return t;
}

}  // namespace

Tensor he_normal(const Shape& shape, double fan_out, uint64_t seed, const std::string& name) {
  return normal(shape, std::sqrt(2.0 / fan_out), seed, name);
}

Tensor normal(const Shape& shape, double deviation, uint64_t seed, const std::string& name) {
  return drawn(shape, seed, name,
               [&](const Rng& rng, uint64_t i) { return deviation * rng.normal(i); });
}

Tensor uniform_within(const Shape& shape, double bound, uint64_t seed, const std::string& name) {
  return drawn(shape, seed, name,
               [&](const Rng& rng, uint64_t i) { return rng.uniform(i, -bound, bound); });
}

Tensor filled(const Shape& shape, float value) {
  Tensor t(DType::f32, shape);
  float* p = t.mutable_data<float>();
  std::fill(p, p + t.size(), value);
  return t;
}

}  // namespace espalier

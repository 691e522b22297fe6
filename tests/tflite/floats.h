// Float tensors and what operators are told, for tests of float files.
#pragma once

#include <gtest/gtest.h>

#include "base/rng.h"
#include "tests/tflite/models.h"

namespace espalier::testing {

/// Ways to pad.
constexpr int8_t kSame = 0, kValid = 1;
/// Activations that operators carry.
constexpr int8_t kNone = 0, kRelu = 1, kRelu6 = 3;
/// Fields of an operator's options.
using Options = std::vector<FlatWriter::Field>;

inline Tensor random_tensor(const Shape& shape, uint64_t stream) {
  Tensor t(DType::f32, shape);
  const Rng rng(7, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -2, 2));
  return t;
}

inline std::vector<int32_t> extents(const Shape& s) { return {s.begin(), s.end()}; }

inline Tensor list(std::vector<float> values) {
  return Tensor::from<float>({int64_t(values.size())}, std::span<const float>(values));
}

inline std::vector<float> values(const Tensor& t) {
  std::vector<float> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(float(t.at(i)));
  return v;
}

inline void expect_near(const Tensor& got, const Tensor& want, double tolerance = 1e-4) {
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got.at(i), want.at(i), tolerance) << i;
}

}  // namespace espalier::testing

// A convolution of 8-bit integers with everything it needs, and what it gives: sums in 64-bit
// integers, then the epilogue in f32, step by step.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/jit/generated_integers.h"
#include "tensor/tensor.h"

namespace espalier::kernels::testing {

inline EpilogueStep scalar(ScalarCode code, float p0 = 0, float p1 = 0) {
  return {EpilogueStep::Kind::kScalar, {code, p0, p1}};
}
inline EpilogueStep residual(DType type, float scale) {
  return {EpilogueStep::Kind::kResidual, {}, scale, type, 1};
}

/// Random numbers of a type; f32 within ±100.
inline Tensor random_tensor(DType type, const Shape& shape, uint64_t stream) {
  const Rng rng(3, stream);
  Tensor t(type, shape);
  for (int64_t i = 0; i < t.size(); ++i)
    if (type == DType::f32)
      t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -100, 100));
    else
      static_cast<uint8_t*>(t.mutable_raw())[i] = uint8_t(rng.bits(uint64_t(i)));
  return t;
}

struct IntegerCase {
  int64_t images = 1, in = 1, out = 1;
  Shape x = {1, 1}, window = {1, 1};
  std::vector<int64_t> strides = {1, 1}, dilations = {1, 1}, begin = {0, 0}, end = {0, 0};
  DType x_type = DType::u8, y_type = DType::f32;
  int32_t zero = 0;
  bool bias = false;
  int64_t scales = 0;
  std::vector<EpilogueStep> steps = {};
  int fixed_x = -1000, fixed_w = -1000;  ///< instead of random numbers

  Tensor values, weights, biases, residuals;
  ConvSpec spec;

  void make() {
    ConvSpec& s = spec;
    s.x = {images, in};
    s.y = {images, out};
    s.weight.shape = {out, in};
    for (size_t d = 0; d < x.size(); ++d) {
      const int64_t reach = (window[d] - 1) * dilations[d] + 1;
      s.x.push_back(x[d]);
      s.y.push_back((x[d] + begin[d] + end[d] - reach) / strides[d] + 1);
      s.weight.shape.push_back(window[d]);
    }
    s.x_type = x_type;
    s.y_type = y_type;
    s.x_zero_point = zero;
    s.geometry = {strides, dilations, begin, end, 1};
    values = random_tensor(x_type, s.x, 1);
    weights = random_tensor(DType::i8, s.weight.shape, 2);
    if (fixed_x != -1000) std::memset(values.mutable_raw(), fixed_x, values.bytes());
    if (fixed_w != -1000) std::memset(weights.mutable_raw(), fixed_w, weights.bytes());
    s.weight.type = DType::i8;
    s.weight.constant = weights.raw();
    biases = random_tensor(DType::f32, {out}, 4);
    if (bias) s.bias = Weight{DType::f32, {out}, biases.raw(), 2};
    const Rng rng(4, 4);
    for (int64_t i = 0; i < scales; ++i)
      s.epilogue.scales.push_back(float(rng.uniform(uint64_t(i), 1e-4, 6e-4)));
    s.epilogue.steps = steps;
    for (const EpilogueStep& step : steps)
      if (step.kind == EpilogueStep::Kind::kResidual)
        residuals = random_tensor(step.residual_type, s.y, 5);
  }

  /// Elements in memory order, channels last.
  Tensor expected() const {
    const ConvSpec& s = spec;
    Tensor y(y_type, s.y);
    const bool two = x.size() == 2;
    const int64_t h = two ? x[0] : 1, w = x.back(), kh = two ? window[0] : 1, kw = window.back();
    const int64_t oh = two ? s.y[2] : 1, ow = s.y.back();
    const auto along = [&](const std::vector<int64_t>& v, size_t d, int64_t none) {
      return two ? v[d] : d == 1 ? v[0] : none;
    };
    int64_t at = 0;
    for (int64_t n = 0; n < images; ++n)
      for (int64_t i = 0; i < oh; ++i)
        for (int64_t j = 0; j < ow; ++j)
          for (int64_t o = 0; o < out; ++o, ++at) {
            int64_t sum = 0;
            for (int64_t a = 0; a < kh; ++a)
              for (int64_t b = 0; b < kw; ++b) {
                const int64_t r =
                    i * along(strides, 0, 1) + a * along(dilations, 0, 1) - along(begin, 0, 0);
                const int64_t c =
                    j * along(strides, 1, 1) + b * along(dilations, 1, 1) - along(begin, 1, 0);
                if (r < 0 || r >= h || c < 0 || c >= w) continue;
                for (int64_t k = 0; k < in; ++k)
                  sum += (values.int_at(((n * h + r) * w + c) * in + k) - zero) *
                         weights.int_at(((o * in + k) * kh + a) * kw + b);
              }
            store(y, at, finished(float(sum), o, at));
          }
    return y;
  }

  float finished(float v, int64_t o, int64_t at) const {
    if (bias) v += biases.data<float>()[o];
    if (scales > 0) v *= spec.epilogue.scales[scales == 1 ? 0 : size_t(o)];
    for (const EpilogueStep& s : steps) {
      if (s.kind == EpilogueStep::Kind::kResidual)
        v = s.scale == 1 ? v + float(residuals.at(at))
                         : std::fma(s.scale, float(residuals.at(at)), v);
      else if (s.op.code == ScalarCode::kAffine)
        v = v * s.op.p0 + s.op.p1;
      else
        v = float(evaluate(s.op, v));
    }
    return v;
  }

  void store(Tensor& y, int64_t at, float v) const {
    if (y_type == DType::f32)
      y.mutable_data<float>()[at] = v;
    else if (y_type == DType::u8)
      y.mutable_data<uint8_t>()[at] = uint8_t(std::clamp(std::nearbyint(v), 0.0f, 255.0f));
    else
      y.mutable_data<int8_t>()[at] = int8_t(std::clamp(std::nearbyint(v), -128.0f, 127.0f));
  }

  std::string text() const {
    return std::to_string(images) + " of " + std::to_string(in) + "->" + std::to_string(out) +
           " x " + std::to_string(x[0]) + "," + std::to_string(x.back()) + " window " +
           std::to_string(window[0]) + "," + std::to_string(window.back()) + " to " +
           std::string(name_of(y_type));
  }
};

/// What the kernel writes; fails where it writes anything else.
inline Tensor run(const IntegerContraction& contraction, const Tensor& x, const Tensor& more,
                  const Tensor& like, bool in_place = false) {
  constexpr uint8_t kUnwritten = 0xA5;
  constexpr size_t kGuard = 64;
  const auto made = generate_integers(contraction);
  std::vector<uint8_t> memory(like.bytes() + 2 * kGuard, kUnwritten);
  uint8_t* y = memory.data() + kGuard;
  if (in_place) std::memcpy(y, more.raw(), more.bytes());
  std::vector<std::byte> scratch(made->scratch_bytes() + 64);
  void* aligned = reinterpret_cast<void*>((uintptr_t(scratch.data()) + 63) / 64 * 64);
  const void* operands[] = {x.raw(), in_place ? y : more.raw()};
  made->run(operands, y, aligned);
  for (size_t i = 0; i < kGuard; ++i) {
    EXPECT_EQ(memory[i], kUnwritten) << "written before the beginning";
    EXPECT_EQ(memory[kGuard + like.bytes() + i], kUnwritten) << "written past the end";
  }
  Tensor result(like.dtype(), like.shape());
  std::memcpy(result.mutable_raw(), y, like.bytes());
  return result;
}

inline void expect_same(const Tensor& got, const Tensor& want, const std::string& what) {
  int64_t wrong = 0, first = -1;
  const size_t size = size_of(got.dtype());
  const auto* a = static_cast<const std::byte*>(got.raw());
  const auto* b = static_cast<const std::byte*>(want.raw());
  for (int64_t i = 0; i < got.size(); ++i)
    if (std::memcmp(a + size_t(i) * size, b + size_t(i) * size, size) != 0 && wrong++ == 0)
      first = i;
  EXPECT_EQ(wrong, 0) << what << ": first at " << first << ", "
                      << got.at(std::max<int64_t>(0, first)) << " is not "
                      << want.at(std::max<int64_t>(0, first));
}

}  // namespace espalier::kernels::testing

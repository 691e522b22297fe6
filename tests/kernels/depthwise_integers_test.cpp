// The depthwise convolution of 8-bit integers, to the bit: sums in 64-bit integers, then scale and
// offset in one step of f32.
#include "kernels/depthwise_integers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/simd.h"
#include "tensor/tensor.h"

namespace espalier::kernels {
namespace {

struct Case {
  int64_t channels, height, width;
  Shape window;
  int64_t stride, pad, dilation;
  DType x, y;
  int zero;
  EpilogueStep cut = {};
  float factor = 1, offset = 0;
  int fixed_x = -1000, fixed_w = -1000;  ///< instead of random numbers
};

EpilogueStep step(ScalarCode code, float p0 = 0, float p1 = 0) {
  return {EpilogueStep::Kind::kScalar, {code, p0, p1}};
}

struct Prepared {
  ConvSpec spec;
  Tensor x, weights, bias;

  explicit Prepared(const Case& c) {
    const Rng rng(5, uint64_t(c.channels + c.stride));
    // One more row and column of padding behind than in front.
    const auto out = [&](int64_t size, int64_t window) {
      return (size + 2 * c.pad + 1 - ((window - 1) * c.dilation + 1)) / c.stride + 1;
    };
    spec.x = {2, c.channels, c.height, c.width};
    spec.y = {2, c.channels, out(c.height, c.window[0]), out(c.width, c.window[1])};
    spec.weight.shape = {c.channels, 1, c.window[0], c.window[1]};
    spec.x_type = c.x;
    spec.y_type = c.y;
    spec.x_zero_point = c.zero;
    spec.geometry = {{c.stride, c.stride},
                     {c.dilation, c.dilation},
                     {c.pad, c.pad},
                     {c.pad + 1, c.pad + 1},
                     c.channels};
    x = Tensor(c.x, spec.x);
    for (int64_t i = 0; i < x.size(); ++i)
      static_cast<uint8_t*>(x.mutable_raw())[i] = uint8_t(rng.bits(uint64_t(i)));
    weights = Tensor(DType::i8, spec.weight.shape);
    for (int64_t i = 0; i < weights.size(); ++i)
      weights.mutable_data<int8_t>()[i] = int8_t(rng.bits(uint64_t(i) + 70000));
    if (c.fixed_x != -1000) std::memset(x.mutable_raw(), c.fixed_x, x.bytes());
    if (c.fixed_w != -1000) std::memset(weights.mutable_raw(), c.fixed_w, weights.bytes());
    spec.weight.type = DType::i8;
    spec.weight.constant = weights.raw();
    bias = Tensor(DType::f32, {c.channels});
    for (int64_t i = 0; i < c.channels; ++i) {
      bias.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i) + 90000, -900, 900));
      spec.epilogue.scales.push_back(float(rng.uniform(uint64_t(i) + 95000, 1e-3, 3e-3)));
    }
    spec.bias = Weight{DType::f32, {c.channels}, bias.raw(), 2};
    if (c.cut.op.code != ScalarCode::kIdentity) spec.epilogue.steps.push_back(c.cut);
    if (c.factor != 1 || c.offset != 0)
      spec.epilogue.steps.push_back(step(ScalarCode::kAffine, c.factor, c.offset));
  }
};

Tensor expected(const Case& c, const Prepared& p) {
  const bool fused = std::string_view(instruction_set()).starts_with("AVX");
  const ConvSpec& s = p.spec;
  Tensor y(c.y, s.y);
  int64_t at = 0;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t i = 0; i < s.y[2]; ++i)
      for (int64_t j = 0; j < s.y[3]; ++j)
        for (int64_t o = 0; o < c.channels; ++o, ++at) {
          int64_t sum = 0;
          for (int64_t a = 0; a < c.window[0]; ++a)
            for (int64_t b = 0; b < c.window[1]; ++b) {
              const int64_t row = i * c.stride + a * c.dilation - c.pad;
              const int64_t column = j * c.stride + b * c.dilation - c.pad;
              if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
              const int64_t v =
                  p.x.int_at(((n * c.height + row) * c.width + column) * c.channels + o);
              sum += (v - c.zero) * p.weights.int_at((o * c.window[0] + a) * c.window[1] + b);
            }
          const float scale = s.epilogue.scales[size_t(o)] * c.factor;
          const float bias = std::fma(p.bias.data<float>()[o], scale, c.offset);
          float v = fused ? std::fma(float(sum), scale, bias) : float(sum) * scale + bias;
          const ScalarCode cut = c.cut.op.code;
          if (cut != ScalarCode::kIdentity)
            v = std::max(v, (cut == ScalarCode::kRelu ? 0 : c.cut.op.p0) * c.factor + c.offset);
          if (cut == ScalarCode::kClip) v = std::min(v, c.cut.op.p1 * c.factor + c.offset);
          if (c.y == DType::f32)
            y.mutable_data<float>()[at] = v;
          else if (c.y == DType::u8)
            y.mutable_data<uint8_t>()[at] = uint8_t(std::clamp(std::nearbyint(v), 0.0f, 255.0f));
          else
            y.mutable_data<int8_t>()[at] = int8_t(std::clamp(std::nearbyint(v), -128.0f, 127.0f));
        }
  return y;
}

TEST(DepthwiseIntegers, GiveTheSumsToTheBit) {
  const DType u8 = DType::u8, i8 = DType::i8, f32 = DType::f32;
  const EpilogueStep none, relu = step(ScalarCode::kRelu), six = step(ScalarCode::kClip, 0, 6);
  const Case cases[] = {
      {16, 9, 9, {3, 3}, 1, 1, 1, u8, u8, 0, relu},
      {33, 12, 10, {3, 3}, 2, 1, 1, u8, i8, 7, six, 1, -9},
      {48, 7, 13, {5, 5}, 1, 2, 1, i8, i8, -128, none, 0.5f, 3},
      {40, 14, 14, {5, 5}, 2, 2, 1, i8, u8, 127, relu, 1, 12},
      {20, 11, 11, {7, 7}, 1, 3, 1, u8, f32, 255, none},
      {17, 15, 12, {3, 3}, 1, 2, 2, u8, u8, 100, six},
      {16, 6, 9, {1, 3}, 1, 1, 1, u8, f32, 3, none},
      {96, 10, 8, {3, 1}, 3, 0, 1, i8, f32, 0, none},
      {16, 5, 5, {2, 2}, 4, 1, 1, u8, u8, 1, none},
      {18, 20, 20, {9, 9}, 1, 4, 1, u8, f32, 0, none, 1, 0, 255, -128},
      {18, 20, 20, {9, 9}, 1, 4, 1, u8, f32, 255, none, 1, 0, 0, -128},
      {16, 8, 8, {3, 3}, 1, 1, 1, u8, u8, 0, none, 1e9f, 0, 255, 127},
      {16, 8, 8, {3, 3}, 1, 1, 1, u8, i8, 0, none, 1e9f, 0, 255, -127},
  };
  for (const Case& c : cases) {
    const Prepared p(c);
    ASSERT_EQ(depthwise_integers_refusal(p.spec), nullptr) << depthwise_integers_refusal(p.spec);
    const Tensor want = expected(c, p);
    for (const int threads : {1, 2, 3}) {
      const ThreadScope scope(threads);
      const DepthwiseIntegers conv(p.spec);
      std::vector<std::byte> scratch(conv.scratch_bytes() + 64);
      Tensor y(c.y, p.spec.y);
      conv.run(p.x.raw(), y.mutable_raw(),
               reinterpret_cast<void*>((uintptr_t(scratch.data()) + 63) / 64 * 64));
      EXPECT_TRUE(y.identical(want)) << c.channels << " channels, window " << c.window[0] << ","
                                     << c.window[1] << " stride " << c.stride << " on " << threads;
    }
  }
}

TEST(DepthwiseIntegers, SayWhyNot) {
  const auto why = [](const Case& c, const auto& change) {
    Prepared p(c);
    change(p.spec);
    const char* no = depthwise_integers_refusal(p.spec);
    return std::string(no ? no : "");
  };
  const Case c = {16, 9, 9, {3, 3}, 1, 1, 1, DType::u8, DType::u8, 0};
  EXPECT_EQ(why(c, [](ConvSpec&) {}), "");
  EXPECT_EQ(why({8, 9, 9, {3, 3}, 1, 1, 1, DType::u8, DType::u8, 0}, [](ConvSpec&) {}),
            "it has fewer than 16 channels");
  EXPECT_EQ(why({16, 40, 40, {23, 23}, 1, 1, 1, DType::u8, DType::u8, 0}, [](ConvSpec&) {}),
            "its window is too large");
  EXPECT_EQ(why(c, [](ConvSpec& s) { s.geometry.groups = 1; }),
            "not every channel has one window of its own");
  EXPECT_EQ(why(c, [](ConvSpec& s) { s.epilogue.steps = {step(ScalarCode::kGelu)}; }),
            "the function after it is no cut-off");
}

}  // namespace
}  // namespace espalier::kernels

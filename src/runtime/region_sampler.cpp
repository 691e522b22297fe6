#include "runtime/region_sampler.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "base/rng.h"
#include "ir/builder.h"

namespace espalier {
namespace {

constexpr double kMostMacs = 1.2e9;
constexpr int64_t kMostElements = 4'000'000;

/// Draws one after the other.
class Draw {
 public:
  explicit Draw(const Rng& rng) : rng_(rng) {}
  bool chance(double p) { return rng_.uniform(next_++) < p; }
  int64_t below(int64_t n) { return int64_t(rng_.below(next_++, uint64_t(n))); }
  int64_t among(std::initializer_list<int64_t> choices) {
    return choices.begin()[below(int64_t(choices.size()))];
  }
  /// Log-uniform between two extents, rounded to a multiple.
  int64_t extent(int64_t least, int64_t most, int64_t multiple = 1) {
    const double e =
        std::exp(rng_.uniform(next_++, std::log(double(least)), std::log(double(most))));
    return std::max(least, int64_t(std::llround(e / double(multiple))) * multiple);
  }

 private:
  Rng rng_;
  uint64_t next_ = 0;
};

/// One network under construction. Between its layers values are f32 or bf16; an int8 layer reads
/// what was quantised and dequantised.
class Network {
 public:
  explicit Network(Precision precision = Precision::kF32) : precision_(precision) {}

  Graph finish(ValueId y) && {
    g_.add_output(y);
    g_.name = "sample";
    return std::move(g_);
  }
  Builder& b() { return b_; }
  DType type() const { return precision_ == Precision::kBf16 ? DType::bf16 : DType::f32; }
  Shape shape(ValueId v) { return b_.type(v).shape(); }

  /// int8 networks are fed integers.
  ValueId input(const Shape& shape) {
    const std::string name = "x" + std::to_string(g_.inputs().size());
    if (precision_ != Precision::kInt8) return g_.add_input(name, TensorType(type(), shape));
    return dequantised(g_.add_input(name, TensorType(DType::u8, shape)));
  }
  ValueId weight(const Shape& shape, int64_t channel_axis) {
    if (precision_ != Precision::kInt8) return b_.constant(numbers(shape, 0.05f).cast(type()));
    const Shape channels = {shape[size_t(channel_axis)]};
    Tensor scale(DType::f32, channels);
    std::fill_n(scale.mutable_data<float>(), scale.size(), 0.004f);
    return b_.one("DequantizeLinear",
                  {b_.constant(numbers(shape, 100).cast(DType::i8)), b_.constant(scale),
                   b_.constant(Tensor(DType::i8, channels))},
                  {{"axis", channel_axis}});
  }
  ValueId bias(int64_t n) { return b_.constant(numbers({n}, 0.1f).cast(type())); }
  /// Ends an int8 layer.
  ValueId layer_end(ValueId v) {
    if (precision_ != Precision::kInt8) return v;
    return dequantised(b_.one("QuantizeLinear", {v, scale(), zero()}));
  }

  ValueId conv(ValueId x, int64_t out, int64_t kernel, int64_t stride, int64_t group) {
    const int64_t pad = kernel / 2;
    return b_.one("Conv", {x, weight({out, shape(x)[1] / group, kernel, kernel}, 0), bias(out)},
                  {{"pads", std::vector<int64_t>{pad, pad, pad, pad}},
                   {"strides", std::vector<int64_t>{stride, stride}},
                   {"group", group}});
  }
  ValueId product(ValueId x, int64_t columns) {
    return b_.one("MatMul", {x, weight({shape(x).back(), columns}, 1)});
  }
  ValueId activation(ValueId x, int64_t which) {
    switch (which) {
      case 0: return x;
      case 1: return b_.one("Relu", {x});
      case 2: return b_.one("Clip", {x, b_.scalar(0, x), b_.scalar(6, x)});
      case 3: return b_.one("Sigmoid", {x});
      case 4: return b_.one("HardSwish", {x});
      case 5: return b_.one("espalier.Silu", {x});
      case 6: return b_.one("Gelu", {x});
      case 7: return b_.one("Tanh", {x});
      default: return b_.one("LeakyRelu", {x});
    }
  }
  ValueId pool(ValueId x, int64_t which) {
    const std::vector<int64_t> two = {2, 2}, three = {3, 3}, ones = {1, 1, 1, 1};
    switch (which) {
      case 0: return b_.one("MaxPool", {x}, {{"kernel_shape", two}, {"strides", two}});
      case 1:
        return b_.one("MaxPool", {x}, {{"kernel_shape", three}, {"strides", two}, {"pads", ones}});
      case 2: return b_.one("AveragePool", {x}, {{"kernel_shape", two}, {"strides", two}});
      default: return b_.one("GlobalAveragePool", {x});
    }
  }

  /// Small numbers, none of them zero, a pattern again and again.
  static Tensor numbers(const Shape& shape, float largest) {
    Tensor t(DType::f32, shape);
    float* p = t.mutable_data<float>();
    for (int64_t i = 0; i < t.size(); ++i) {
      const float unit = float((i * 37) % 127 + 1) / 127;
      p[i] = (i % 2 ? -unit : unit) * largest;
    }
    return t;
  }

 private:
  ValueId scale() { return b_.constant(Tensor::scalar(0.02f)); }
  ValueId zero() { return b_.constant(Tensor::scalar<uint8_t>(0)); }
  ValueId dequantised(ValueId v) { return b_.one("DequantizeLinear", {v, scale(), zero()}); }

  const Precision precision_;
  Graph g_;
  Builder b_{g_};
};

Precision drawn_precision(Draw& d) {
  const int64_t k = d.below(10);
  return k < 6 ? Precision::kF32 : k < 8 ? Precision::kBf16 : Precision::kInt8;
}

Shape drawn_picture(Draw& d, int64_t channels) {
  const int64_t batch = d.among({1, 1, 1, 1, 2, 4, 8}), height = d.extent(4, 112);
  const int64_t width = d.chance(0.75) ? height : d.extent(4, 112);
  return {batch, channels, height, width};
}

/// Halves batch, then extents, until a convolution of that many MACs per pixel stays below the cap.
void shrink(Shape& x, int64_t out_channels, double macs_per_pixel) {
  const auto pixels = [&] { return double(x[0] * x[2] * x[3]); };
  const int64_t channels = std::max(x[1], out_channels);
  while (pixels() * macs_per_pixel > kMostMacs || pixels() * double(channels) > kMostElements) {
    int64_t& most = x[0] > 1 ? x[0] : x[2] >= x[3] ? x[2] : x[3];
    if (most <= 1) return;
    most = (most + 1) / 2;
  }
}

Graph convolution(Draw& d) {
  Network n(drawn_precision(d));
  const int64_t in = d.chance(0.1) ? 3 : d.extent(8, 512, 8), out = d.extent(8, 512, 8);
  int64_t kernel = d.among({1, 1, 3, 3, 3, 5, 7});
  if (in * out * kernel * kernel > kMostElements) kernel = 3;
  const int64_t stride = d.among({1, 1, 2});
  const int64_t group = in % 4 == 0 && d.chance(0.08) ? 4 : 1;
  Shape shape = drawn_picture(d, in);
  shrink(shape, out, double(in * out * kernel * kernel) / double(group * stride * stride));
  ValueId y = n.conv(n.input(shape), out, kernel, stride, group);
  const bool residual = d.chance(0.25);
  if (residual) y = n.b().add(y, n.input(n.shape(y)));
  y = n.layer_end(n.activation(y, residual ? d.below(2) : d.below(9)));
  if (d.chance(0.3) && n.shape(y)[2] >= 2 && n.shape(y)[3] >= 2) y = n.pool(y, d.below(4));
  return std::move(n).finish(y);
}

Graph depthwise(Draw& d) {
  Network n(drawn_precision(d));
  const int64_t in = d.extent(8, 256, 8), wide = d.extent(8, 768, 8);
  const int64_t kernel = d.among({3, 3, 5, 7}), stride = d.among({1, 1, 2});
  Shape shape = drawn_picture(d, in);
  shrink(shape, wide, double(2 * in * wide + wide * kernel * kernel));
  const int64_t which = d.below(6);
  ValueId y = n.layer_end(n.activation(n.conv(n.input(shape), wide, 1, 1, 1), which));
  y = n.layer_end(n.activation(n.conv(y, wide, kernel, stride, wide), which));
  return std::move(n).finish(n.layer_end(n.conv(y, in, 1, 1, 1)));
}

Graph matrix_product(Draw& d) {
  Network n(drawn_precision(d));
  int64_t rows = d.extent(1, 512);
  const int64_t inner = d.extent(16, 2048, 8), columns = d.extent(16, 2048, 8);
  while (rows > 1 && double(rows) * double(inner * columns) > kMostMacs) rows /= 2;
  ValueId y = n.product(n.input({rows, inner}), columns);
  if (d.chance(0.7)) y = n.b().add(y, n.bias(columns));
  y = n.layer_end(n.activation(y, d.below(9)));
  return std::move(n).finish(y);
}

Graph attention(Draw& d) {
  Network n(d.chance(0.5) ? Precision::kF32 : Precision::kBf16);
  const int64_t heads = d.among({1, 2, 4, 8, 12}), tokens = d.extent(8, 384);
  const int64_t width = d.among({16, 32, 64, 64, 96, 128});
  const ValueId q = n.input({heads, tokens, width}), k = n.input({heads, width, tokens});
  const ValueId v = n.input({heads, tokens, width});
  const ValueId scores = n.b().mul(n.b().matmul(q, k), 0.125);
  const ValueId shares = n.b().one("Softmax", {scores}, {{"axis", int64_t{-1}}});
  return std::move(n).finish(n.b().matmul(shares, v));
}

Graph pointwise_chain(Draw& d) {
  Network n(d.chance(0.7) ? Precision::kF32 : Precision::kBf16);
  Shape shape = d.chance(0.5) ? Shape{d.extent(1, 512), d.extent(16, 4096)}
                              : drawn_picture(d, d.extent(8, 512, 8));
  while (numel(shape) > kMostElements) {
    int64_t& most = *std::max_element(shape.begin(), shape.end());
    most = (most + 1) / 2;
  }
  ValueId y = n.input(shape);
  const int64_t length = 1 + d.below(6);
  for (int64_t i = 0; i < length; ++i) {
    switch (d.below(4)) {
      case 0: y = n.activation(y, 1 + d.below(8)); break;
      case 1: y = n.b().mul(y, n.input(shape)); break;
      case 2: y = n.b().add(y, n.input(shape)); break;
      default: y = n.b().add(n.b().mul(y, 1.5), 0.25);
    }
  }
  return std::move(n).finish(y);
}

Graph normalisation(Draw& d) {
  Network n;
  const int64_t columns = d.extent(16, 2048);
  int64_t rows = d.extent(1, 1024);
  while (rows * columns > kMostElements) rows /= 2;
  const ValueId x = n.input({rows, columns});
  if (d.chance(0.5)) {
    const ValueId y = n.b().one("Softmax", {x}, {{"axis", int64_t{-1}}});
    return std::move(n).finish(y);
  }
  const ValueId y = n.b().one("LayerNormalization", {x, n.bias(columns), n.bias(columns)},
                              {{"axis", int64_t{-1}}});
  return std::move(n).finish(y);
}

Graph movement(Draw& d) {
  Network n;
  Shape shape = drawn_picture(d, d.extent(8, 512, 8));
  shrink(shape, shape[1], 0);
  const ValueId x = n.input(shape);
  switch (d.below(3)) {
    case 0: return std::move(n).finish(n.b().transpose(x, {0, 2, 3, 1}));
    case 1: {
      const ValueId y = n.b().one("Concat", {x, n.input(shape)}, {{"axis", int64_t{1}}});
      return std::move(n).finish(y);
    }
    default: return std::move(n).finish(n.b().reduce_mean(x, {2, 3}));
  }
}

}  // namespace

Graph sampled_network(uint64_t seed, uint64_t index) {
  Draw d(Rng(seed, stream_of("sampled networks")).fork(index));
  const int64_t k = d.below(100);
  if (k < 35) return convolution(d);
  if (k < 47) return depthwise(d);
  if (k < 67) return matrix_product(d);
  if (k < 72) return attention(d);
  if (k < 84) return pointwise_chain(d);
  if (k < 94) return normalisation(d);
  return movement(d);
}

Graph product_network(int64_t rows, int64_t inner, int64_t columns, Precision precision) {
  Network n(precision);
  const ValueId y = n.layer_end(n.product(n.input({rows, inner}), columns));
  return std::move(n).finish(y);
}

Graph convolution_network(int64_t channels, int64_t extent, Precision precision) {
  Network n(precision);
  const ValueId y = n.layer_end(n.conv(n.input({1, channels, extent, extent}), channels, 3, 1, 1));
  return std::move(n).finish(y);
}

Graph tiny_network(int64_t count) {
  Network n;
  ValueId y = n.input({1, 8});
  for (int64_t i = 0; i < count; ++i) y = n.b().one("Softmax", {y}, {{"axis", int64_t{-1}}});
  return std::move(n).finish(y);
}

}  // namespace espalier

// Small networks and data sets for the tests of training.
#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "base/rng.h"
#include "data/dataset.h"
#include "ir/builder.h"

namespace espalier::testing {

inline Tensor random_tensor(const Shape& shape, const std::string& name, double scale) {
  Tensor t(DType::f32, shape);
  const Rng rng(5, stream_of(name));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(scale * rng.normal(uint64_t(i)));
  return t;
}

inline ValueId parameter(Graph& g, const std::string& name, const Shape& shape, double scale) {
  return g.add_constant(name, random_tensor(shape, name, scale), Role::kParameter);
}

/// in -> hidden (Relu) -> out.
inline Graph mlp(int64_t in, int64_t hidden, int64_t out, const char* activation = "Relu") {
  Graph g;
  g.name = "mlp";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(in)}));
  const ValueId w1 = parameter(g, "fc1.weight", {hidden, in}, 1.0 / double(in));
  const ValueId b1 = parameter(g, "fc1.bias", {hidden}, 0.1);
  x = b.one(activation, {b.one("Gemm", {x, w1, b1}, {{"transB", int64_t{1}}}, "fc1")});
  const ValueId w2 = parameter(g, "fc2.weight", {out, hidden}, 1.0 / double(hidden));
  const ValueId b2 = parameter(g, "fc2.bias", {out}, 0.1);
  g.add_output(b.one("Gemm", {x, w2, b2}, {{"transB", int64_t{1}}}, "fc2"));
  return g;
}

/// 2 -> 8 -> (8 -> 8) as often as said, each added to what it reads -> 3.
inline Graph residual_mlp(int64_t layers) {
  Graph g;
  g.name = "residual_mlp";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
  const auto linear = [&](ValueId v, const std::string& name, int64_t in, int64_t out) {
    return b.add(b.matmul(v, parameter(g, name + ".weight", {in, out}, 0.4)),
                 parameter(g, name + ".bias", {out}, 0.1));
  };
  x = linear(x, "first", 2, 8);
  for (int64_t i = 0; i < layers; ++i)
    x = b.add(x, b.one("Tanh", {linear(x, "layer" + std::to_string(i), 8, 8)}));
  g.add_output(linear(x, "last", 8, 3));
  return g;
}

/// Convolution, batch normalisation, Relu, a residual addition, pooling and a linear layer.
inline Graph small_cnn(int64_t classes) {
  Graph g;
  g.name = "small_cnn";
  Builder b(g);
  const Dims dims = {Dim::symbol("N"), Dim(2), Dim(6), Dim(6)};
  const ValueId x = g.add_input("x", TensorType(DType::f32, dims));
  const auto norm = [&](ValueId v, const std::string& name) {
    const auto vector = [&](const char* part, float value, Role role) {
      Tensor t(DType::f32, {4});
      for (int i = 0; i < 4; ++i) t.mutable_data<float>()[i] = value;
      return g.add_constant(name + part, t, role);
    };
    return b.one("BatchNormalization",
                 {v, vector(".weight", 1, Role::kParameter), vector(".bias", 0, Role::kParameter),
                  vector(".mean", 0, Role::kBuffer), vector(".var", 1, Role::kBuffer)},
                 {}, name);
  };
  const AttributeMap same = {{"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  ValueId y = b.one("Conv", {x, parameter(g, "conv1.weight", {4, 2, 3, 3}, 0.3)}, same, "conv1");
  y = b.one("Relu", {norm(y, "bn1")});
  ValueId z = b.one("Conv", {y, parameter(g, "conv2.weight", {4, 4, 3, 3}, 0.2)}, same, "conv2");
  y = b.one("Relu", {b.add(norm(z, "bn2"), y)});
  y = b.one("Flatten", {b.one("GlobalAveragePool", {y})});
  const ValueId w = parameter(g, "fc.weight", {classes, 4}, 0.5);
  const ValueId bias = parameter(g, "fc.bias", {classes}, 0.1);
  g.add_output(b.one("Gemm", {y, w, bias}, {{"transB", int64_t{1}}}, "fc"));
  return g;
}

/// Token and position embeddings, one pre-norm block of causal attention with two heads and a
/// hidden layer, and a head of its own; matrices as the zoo's definitions have them, read
/// transposed.
inline Graph small_gpt(int64_t vocabulary, int64_t context, int64_t width) {
  Graph g;
  g.name = "small_gpt";
  Builder b(g);
  const ValueId tokens =
      g.add_input("tokens", TensorType(DType::i64, Dims{Dim::symbol("N"), Dim(context)}));
  const auto vector = [&](const std::string& name, float value) {
    Tensor t(DType::f32, {width});
    for (int64_t i = 0; i < width; ++i) t.mutable_data<float>()[i] = value;
    return g.add_constant(name, t, Role::kParameter);
  };
  const auto norm = [&](ValueId v, const std::string& name) {
    return b.one("LayerNormalization", {v, vector(name + ".weight", 1), vector(name + ".bias", 0)},
                 {}, name);
  };
  const auto linear = [&](ValueId v, const std::string& name, int64_t in, int64_t out) {
    const ValueId w = parameter(g, name + ".weight", {out, in}, 1 / std::sqrt(double(in)));
    return b.add(b.one("MatMul", {v, b.transpose(w, {1, 0})}, {}, name),
                 parameter(g, name + ".bias", {out}, 0.1));
  };
  ValueId x = b.one("Gather", {parameter(g, "wte.weight", {vocabulary, width}, 0.5), tokens},
                    {{"axis", int64_t{0}}}, "wte");
  x = b.add(x, parameter(g, "wpe", {1, context, width}, 0.5));
  const Values qkv =
      b.op("Split",
           {linear(norm(x, "norm1"), "attn.qkv", width, 3 * width), b.ints({width, width, width})},
           {{"axis", int64_t{2}}}, "", {"q", "k", "v"});
  const auto heads = [&](ValueId v, std::vector<int64_t> order) {
    return b.transpose(b.reshape(v, {0, context, 2, width / 2}), std::move(order));
  };
  Tensor mask(DType::f32, {context, context});
  for (int64_t i = 0; i < context; ++i)
    for (int64_t j = i + 1; j < context; ++j)
      mask.mutable_data<float>()[i * context + j] = -std::numeric_limits<float>::infinity();
  const ValueId q = b.mul(heads(qkv[0], {0, 2, 1, 3}), 1 / std::sqrt(double(width) / 2));
  const ValueId scores = b.add(b.matmul(q, heads(qkv[1], {0, 2, 3, 1})), b.constant(mask, "mask"));
  const ValueId weights = b.one("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const ValueId read = b.matmul(weights, heads(qkv[2], {0, 2, 1, 3}));
  const ValueId joined = b.reshape(b.transpose(read, {0, 2, 1, 3}), {0, context, width});
  x = b.add(x, linear(joined, "attn.proj", width, width));
  const ValueId hidden = b.one("Gelu", {linear(norm(x, "norm2"), "fc1", width, 2 * width)});
  x = b.add(x, linear(hidden, "fc2", 2 * width, width));
  const ValueId head = parameter(g, "head.weight", {vocabulary, width}, 0.3);
  g.add_output(b.one("MatMul", {norm(x, "norm"), b.transpose(head, {1, 0})}, {}, "head"));
  return g;
}

inline std::shared_ptr<const Dataset> dataset(Tensor samples, Tensor targets, int64_t classes,
                                              const std::string& name) {
  ArrayDataset::Parts parts;
  for (int64_t i = 0; i < samples.shape()[0]; ++i) parts.rows.push_back(i);
  parts.samples = std::move(samples);
  parts.targets = std::move(targets);
  parts.classes = classes;
  parts.description = name;
  return std::make_shared<ArrayDataset>(std::move(parts));
}

/// `count` points around one centre per class.
inline std::shared_ptr<const Dataset> blobs(int64_t count, int64_t classes, uint64_t seed) {
  Tensor samples(DType::f32, {count, 2}), labels(DType::i64, {count});
  const Rng rng(seed, stream_of("blobs"));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t c = i % classes;
    labels.mutable_data<int64_t>()[i] = c;
    const double angle = 6.2831853 * double(c) / double(classes);
    samples.mutable_data<float>()[2 * i] =
        float(2 * std::cos(angle) + 0.3 * rng.normal(uint64_t(2 * i)));
    samples.mutable_data<float>()[2 * i + 1] =
        float(2 * std::sin(angle) + 0.3 * rng.normal(uint64_t(2 * i + 1)));
  }
  return dataset(samples, labels, classes, "blobs");
}

/// Pictures [2, 6, 6]; the class is the corner that is bright.
inline std::shared_ptr<const Dataset> corners(int64_t count, uint64_t seed) {
  Tensor samples(DType::f32, {count, 2, 6, 6}), labels(DType::i64, {count});
  const Rng rng(seed, stream_of("corners"));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t c = i % 4;
    labels.mutable_data<int64_t>()[i] = c;
    for (int64_t k = 0; k < 72; ++k) {
      const int64_t row = k / 6 % 6, column = k % 6, plane = k / 36;
      const bool bright = plane == c % 2 && (row < 3) == (c / 2 == 0) && column < 4;
      samples.mutable_data<float>()[i * 72 + k] =
          float((bright ? 1.5 : 0) + 0.5 * rng.normal(uint64_t(i * 72 + k)));
    }
  }
  return dataset(samples, labels, 4, "corners");
}

/// Windows [context] of tokens that follow each other in a cycle with jumps, as a text would.
class CycleText : public Dataset {
 public:
  CycleText(int64_t count, int64_t vocabulary, int64_t context, int64_t stride)
      : count_(count), vocabulary_(vocabulary), stride_(stride), shape_({context}) {}
  int64_t size() const override { return count_; }
  const Shape& sample_shape() const override { return shape_; }
  DType input_type() const override { return DType::i64; }
  DType target_type() const override { return DType::i64; }
  Shape target_shape() const override { return shape_; }
  int64_t classes() const override { return vocabulary_; }
  const std::vector<std::string>& class_names() const override { return none_; }
  const Tensor& targets() const override { return targets_; }
  const Normalization& normalization() const override { return as_they_are_; }
  PictureLayout layout() const override { return PictureLayout::nchw; }
  const std::string& description() const override { return name_; }
  void read(int64_t index, float* sample) const override {
    for (int64_t i = 0; i < shape_[0]; ++i) sample[i] = float(token(index, i));
  }
  void write(int64_t index, int64_t row, Batch& batch) const override {
    for (int64_t i = 0; i < shape_[0]; ++i) {
      batch.inputs.mutable_data<int64_t>()[row * shape_[0] + i] = token(index, i);
      batch.targets.mutable_data<int64_t>()[row * shape_[0] + i] = token(index, i + 1);
    }
  }

 private:
  int64_t token(int64_t index, int64_t i) const {
    const int64_t at = index + i;
    return (at * stride_ + at / 5) % vocabulary_;
  }
  int64_t count_, vocabulary_, stride_;
  Shape shape_;
  std::string name_ = "cycle";
  std::vector<std::string> none_;
  Tensor targets_;
  Normalization as_they_are_;
};

}  // namespace espalier::testing

// Small networks and data sets for the tests of training.
#pragma once

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
inline Graph mlp(int64_t in, int64_t hidden, int64_t out) {
  Graph g;
  g.name = "mlp";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(in)}));
  const ValueId w1 = parameter(g, "fc1.weight", {hidden, in}, 1.0 / double(in));
  const ValueId b1 = parameter(g, "fc1.bias", {hidden}, 0.1);
  x = b.one("Relu", {b.one("Gemm", {x, w1, b1}, {{"transB", int64_t{1}}}, "fc1")});
  const ValueId w2 = parameter(g, "fc2.weight", {out, hidden}, 1.0 / double(hidden));
  const ValueId b2 = parameter(g, "fc2.bias", {out}, 0.1);
  g.add_output(b.one("Gemm", {x, w2, b2}, {{"transB", int64_t{1}}}, "fc2"));
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

}  // namespace espalier::testing

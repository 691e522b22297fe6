#include "train/temperature.h"

#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace espalier {
namespace {

/// Normal with that deviation; a function of seed and name.
Tensor drawn(const std::string& name, const Shape& shape, double deviation, uint64_t seed) {
  Tensor t(DType::f32, shape);
  const Rng rng(seed, stream_of(name));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(deviation * rng.normal(uint64_t(i)));
  return t;
}

Tensor filled(const Shape& shape, double value) {
  Tensor t(DType::f32, shape);
  std::fill_n(t.mutable_data<float>(), t.size(), float(value));
  return t;
}

ValueId with_length_one(Builder& b, ValueId rows) {
  return b.one("LpNormalization", {rows}, {{"axis", int64_t{-1}}, {"p", int64_t{2}}});
}

/// Writes one temperature network.
class Writer {
 public:
  Writer(Builder& b, const TemperatureNet& net, uint64_t seed, const AddParameter& add)
      : b_(b), net_(net), seed_(seed), add_(add) {}

  ValueId run(ValueId answers) {
    const int64_t channels = b_.type(answers).dims.back().value();
    const ValueId x = b_.one("espalier.StopGradient", {answers});
    ValueId likeness = kNoValue, pooled = kNoValue;
    if (net_.reads == TemperatureNet::Reads::kLogits) {
      const ValueId hidden = layer(with_length_one(b_, x), "layer", channels, net_.width);
      likeness = pooled = linear(hidden, "prototypes", net_.width, net_.width);
    } else {
      const ValueId hidden = layer(x, "layer", channels, channels);
      const ValueId prototypes =
          with_length_one(b_, parameter("prototypes.weight", {net_.width, channels}, 1));
      likeness = b_.matmul(hidden, b_.transpose(prototypes, {1, 0}));
      pooled = b_.one("Sigmoid", {likeness});
    }
    return between_bounds(head(likeness, pooled));
  }

 private:
  ValueId parameter(const std::string& name, const Shape& shape, double deviation) {
    const std::string full = std::string(kTemperature) + "." + name;
    return add_(full, drawn(full, shape, deviation, seed_));
  }
  ValueId parameter(const std::string& name, Tensor first) {
    return add_(std::string(kTemperature) + "." + name, std::move(first));
  }

  /// First values of the variance that uniform ones in 1 / sqrt(inputs) have.
  ValueId linear(ValueId x, const std::string& name, int64_t from, int64_t to) {
    const double deviation = 1 / std::sqrt(3 * double(from));
    const ValueId y = b_.matmul(x, parameter(name + ".weight", {from, to}, deviation));
    return b_.add(y, parameter(name + ".bias", {to}, deviation));
  }
  ValueId layer(ValueId x, const std::string& name, int64_t from, int64_t to) {
    const ValueId y = b_.one("Sigmoid", {linear(x, name, from, to)});
    if (net_.dropout == 0) return y;
    const ValueId ratio = b_.constant(Tensor::scalar(float(net_.dropout)));
    return b_.op("Dropout", {y, ratio}).at(0);
  }

  /// Pooling by a softmax of learned sharpness, less the mean: what weighs a prototype is by how
  /// much more than evenly it is met.
  ValueId head(ValueId likeness, ValueId pooled) {
    const bool logits = net_.reads == TemperatureNet::Reads::kLogits;
    const ValueId scale = b_.exp(parameter("scale", filled({1}, logits ? 0 : std::log(0.01))));
    const ValueId weights = b_.one("Softmax", {b_.div(likeness, scale)}, {{"axis", int64_t{-1}}});
    const ValueId above = b_.mul(b_.add(weights, -1 / double(net_.width)), pooled);
    const ValueId sum = b_.matmul(above, parameter("head.weight", filled({net_.width, 1}, 1)));
    return b_.add(sum, parameter("head.bias", filled({1}, 0)));
  }

  ValueId between_bounds(ValueId x) {
    const ValueId part = b_.one("Sigmoid", {x});
    return b_.add(b_.mul(part, net_.most - net_.least), net_.least);
  }

  Builder& b_;
  const TemperatureNet& net_;
  uint64_t seed_;
  const AddParameter& add_;
};

void take_name(Graph& g, ValueId temperature) {
  if (g.find(kTemperature) != kNoValue)
    throw bad_input(g.name, "has a value '" + std::string(kTemperature) + "' already",
                    "a network predicts one temperature for an answer");
  g.rename(temperature, kTemperature);
}

ValueId embedding_of(Graph& g) {
  if (g.outputs().size() != 1)
    throw unsupported(
        g.name, "has " + std::to_string(g.outputs().size()) + " outputs, one is the embedding");
  const TensorType& type = g.value(g.outputs()[0]).tensor();
  if (type.rank() != 2 || !type.dims[1].known() || type.dtype != DType::f32)
    throw unsupported(g.name, "answers with " + to_string(type) + ", embeddings are [N, numbers]");
  Builder b(g);
  const ValueId unit = with_length_one(b, g.outputs()[0]);
  g.rename(unit, g.fresh_name("embedding"));
  g.set_outputs({unit});
  return unit;
}

}  // namespace

void TemperatureNet::check(const std::string& where) const {
  if (!(least > 0 && least < most && std::isfinite(most)))
    throw bad_input(where, "temperatures lie between a least one above 0 and a larger one");
  if (width < 1) throw bad_input(where, "the temperature's network needs a prototype");
  if (!(dropout >= 0 && dropout < 1)) throw bad_input(where, "dropout must lie in [0, 1)");
}

ValueId write_temperature(Builder& b, ValueId answers, const TemperatureNet& net, uint64_t seed,
                          const AddParameter& add) {
  net.check("the temperature's network");
  if (!b.type(answers).dims.back().known())
    throw unsupported(b.graph().name, "answers with " + to_string(b.type(answers)) +
                                          ", a temperature needs a known number of classes");
  const ValueId temperature = Writer(b, net, seed, add).run(answers);
  take_name(b.graph(), temperature);
  return temperature;
}

// With p = softmax(h / tau): tau log(1/C sum exp((h_j - h_y) / tau)) = -tau (log p_y + log C).
ValueId robust_loss(Builder& b, ValueId scaled, ValueId temperature, ValueId labels, double rho) {
  const int64_t classes = b.type(scaled).dims.back().value();
  const int64_t rows = b.type(scaled).numel() / classes;
  const ValueId log_p =
      b.one("LogSoftmax", {b.reshape(scaled, {rows, classes})}, {{"axis", int64_t{1}}});
  const ValueId right =
      b.one("GatherElements", {log_p, b.reshape(labels, {rows, 1})}, {{"axis", int64_t{1}}});
  const ValueId each = b.add(b.neg(right), rho - std::log(double(classes)));
  return b.reduce_mean(b.mul(b.reshape(temperature, {rows, 1}), each), {0, 1}, false);
}

Graph with_temperature_net(const Graph& network, const TemperatureNet& net, uint64_t seed) {
  Graph g = network;
  Builder b(g);
  const ValueId embedding = embedding_of(g);
  const ValueId temperature =
      write_temperature(b, embedding, net, seed, [&](const std::string& name, Tensor first) {
        return g.add_constant(name, std::move(first), Role::kParameter);
      });
  g.set_outputs({embedding, temperature});
  return g;
}

Graph with_learned_temperature(const Graph& network, double first) {
  if (!(first > 0 && std::isfinite(first)))
    throw bad_input("the first temperature", "must be above 0");
  Graph g = network;
  Builder b(g);
  const ValueId embedding = embedding_of(g);
  const ValueId log = g.add_constant(std::string(kTemperature) + ".log",
                                     filled({1, 1}, std::log(first)), Role::kParameter);
  const ValueId temperature = b.exp(log);
  take_name(g, temperature);
  g.set_outputs({embedding, temperature});
  return g;
}

Graph with_embedding(const Graph& network) {
  Graph g = network;
  embedding_of(g);
  return g;
}

}  // namespace espalier

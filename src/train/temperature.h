// Temperatures that a network predicts for each of its answers (Qiu et al. 2024, "To cool or not
// to cool? Temperature network meets large foundation models via DRO", arXiv:2404.04575).
//
// A network of few parameters, TempNet, reads what a network answers with, through a layer, its
// likeness to some prototypes and a pooling of these, and gives a temperature between two bounds.
// Both are one ordinary graph, whose value "temperature" the losses of a training step read.
//
// What teaches it is the robust loss: the largest mean of h_j - h_y over all distributions of j
// whose divergence from the uniform one is at most rho nats, as a minimum over the temperature,
//   tau log(1/C sum_j exp((h_j - h_y) / tau)) + tau rho.
// Its derivative by tau is H + rho - log C, with H the entropy of softmax(h / tau): no label is in
// it.
#pragma once

#include <functional>
#include <string>

#include "ir/builder.h"

namespace espalier {

/// The value of a network that holds the temperatures: f32 [N, ..., 1], or [1, 1] of one for all.
inline constexpr const char* kTemperature = "temperature";

struct TemperatureNet {
  /// What it reads, which decides the form as the paper's authors have it.
  enum class Reads : uint8_t {
    kLogits,      ///< layer to `width` units, `width` prototypes as they are learned
    kEmbeddings,  ///< of length 1: layer of their own width, `width` prototypes of length 1, whose
                  ///< likeness goes through a sigmoid
  };
  Reads reads = Reads::kLogits;
  int64_t width = 256;
  double least = 0.01, most = 2;  ///< bounds of a temperature; the first ones lie about the middle
  double dropout = 0.5;           ///< of the layer's units, in training

  /// UserError for bounds that are none.
  void check(const std::string& where) const;
};

/// Adds a parameter with its first value to the graph that is written.
using AddParameter = std::function<ValueId(const std::string& name, Tensor first)>;

/// Writes the network behind `answers` f32 [N, ..., C], through which no gradient goes back, and
/// returns the temperatures [N, ..., 1], named kTemperature. UserError where the name is taken.
ValueId write_temperature(Builder& b, ValueId answers, const TemperatureNet& net, uint64_t seed,
                          const AddParameter& add);

/// The robust loss, its mean over all answers: f32 []. `scaled` f32 [N, ..., C] are logits divided
/// by `temperature` [N, ..., 1], `labels` i64 [N, ...] the answers.
ValueId robust_loss(Builder& b, ValueId scaled, ValueId temperature, ValueId labels, double rho);

/// `network` with a temperature for each embedding: outputs are its only one, [N, D], divided by
/// its length, named "embedding", and the temperatures [N, 1].
Graph with_temperature_net(const Graph& network, const TemperatureNet& net, uint64_t seed);
/// The same with one temperature for all, exp of a parameter that begins as log(`first`): [1, 1].
Graph with_learned_temperature(const Graph& network, double first);
/// The same without any: "embedding" alone.
Graph with_embedding(const Graph& network);

}  // namespace espalier

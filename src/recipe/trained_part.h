// What a recipe trains of its network: the keys `only`, `adapt`, `generate` and `frozen` of its
// `training` section.
//
//   training:
//     only: "fc*"                      # parameters by name; or a list, whose entries add up:
//     only:
//       - {biases: true, except: ["conv1.*"]}     # conditions of one entry hold together
//       - {last_layers: 2}
//     adapt: {kind: lora, rank: 8, targets: ["*.qkv.weight"], also: ["head.*"]}
//     generate: {kind: mlp, turn: [0, 90]}        # see generator_part.h
//     frozen: int8                     # or float: what comes before all that is trained
#pragma once

#include <optional>

#include "compress/frozen_part.h"
#include "recipe/generator_part.h"
#include "recipe/yaml.h"
#include "train/adapter.h"
#include "train/selection.h"
#include "train/trainer.h"

namespace espalier {

struct TrainedPart {
  Selection only;                        ///< empty: everything
  std::optional<AdapterSpec> adapt;      ///< a frozen network with an adapter; then `only` is empty
  std::optional<GeneratePart> generate;  ///< a generator of the network's weights, nothing else
  bool frozen_on_integers = false;       ///< what comes before all that is trained
  Yaml place;                            ///< of the key, for messages

  bool everything() const { return only.empty() && !adapt && !generate; }
};

/// Reads the four keys; others of the section are left alone. UserError where two of the first
/// three are given, or none to freeze by.
TrainedPart read_trained_part(Fields& training);
/// UserError where a key beside them does not suit the network that they make: one of `options`, or
/// `parametrization` (null where it is not given).
void check_together(const TrainedPart& part, const TrainOptions& options,
                    const Yaml* parametrization);
/// The mode of all normalisations as text, or a list of {mode, names}.
NormRules read_norm_rules(const Yaml& part);
/// An adapter: its kind, or a map with `kind`, `targets`, `also`, `start` and the unit's settings.
AdapterSpec read_adapter(const Yaml& part);

/// A network made ready for training by such a part.
struct PreparedNetwork {
  Graph graph;
  std::optional<std::set<std::string>> trained;  ///< for TrainOptions
  std::optional<AdaptedNetwork> adapter;
  /// Of a network whose frozen part is on integers: what became of it, and the network before.
  std::optional<FrozenOnIntegers> frozen;
  Graph floats;
  /// The condition is to be drawn at each step, by ConditionDraws(1, seed).
  std::shared_ptr<const Hypernetwork> hypernetwork;

  /// The network to hand over, given what the trainer's is; of a hypernetwork with its condition as
  /// a second input, pictures as they come.
  Graph merged(const Graph& trained_graph) const;
  /// Elements of the trained parameters, and of those that were in the network before.
  int64_t trained_elements = 0, network_elements = 0;
};

/// UserError with the part's line where it does not fit the network. A frozen part goes onto
/// integers beside floats of `precision`, calibrated on samples of the data, at most 5 % off in
/// what the trained part reads.
PreparedNetwork prepared_network(Graph network, const TrainedPart& part,
                                 std::shared_ptr<const Dataset> data, uint64_t seed,
                                 DType precision = DType::f32);
/// The same without data, where `input.data` is null: what begins by it is refused.
PreparedNetwork prepared_network(Graph network, const TrainedPart& part, const AdapterInput& input,
                                 DType precision = DType::f32);

}  // namespace espalier

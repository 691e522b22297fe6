// What a recipe trains of its network: the keys `only` and `adapt` of its `training` section.
//
//   training:
//     only: "fc*"                      # parameters by name; or a list, whose entries add up:
//     only:
//       - {biases: true, except: ["conv1.*"]}     # conditions of one entry hold together
//       - {last_layers: 2}
//     adapt: {kind: lora, rank: 8, targets: ["*.qkv.weight"], also: ["head.*"]}
#pragma once

#include <optional>

#include "recipe/yaml.h"
#include "train/adapter.h"
#include "train/selection.h"
#include "train/trainer.h"

namespace espalier {

struct TrainedPart {
  Selection only;                    ///< empty: everything
  std::optional<AdapterSpec> adapt;  ///< a frozen network with an adapter; then `only` is empty
  Yaml place;                        ///< of the key, for messages

  bool everything() const { return only.empty() && !adapt; }
};

/// Reads the two keys; others of the section are left alone. UserError where both are given.
TrainedPart read_trained_part(Fields& training);
/// The mode of all normalisations as text, or a list of {mode, names}.
NormRules read_norm_rules(const Yaml& part);
/// An adapter: its kind, or a map with `kind`, `targets`, `also`, `start` and the unit's settings.
AdapterSpec read_adapter(const Yaml& part);

/// A network made ready for training by such a part.
struct PreparedNetwork {
  Graph graph;
  std::optional<std::set<std::string>> trained;  ///< for TrainOptions
  std::optional<AdaptedNetwork> adapter;

  /// The network to hand over, given what the trainer's is.
  Graph merged(const Graph& trained_graph) const {
    return adapter ? adapter->merged(trained_graph) : trained_graph;
  }
  /// Elements of the trained parameters, and of those that were in the network before.
  int64_t trained_elements = 0, network_elements = 0;
};

/// UserError with the part's line where it does not fit the network.
PreparedNetwork prepared_network(Graph network, const TrainedPart& part,
                                 std::shared_ptr<const Dataset> data, uint64_t seed);
/// The same without data, where `input.data` is null: adapters that begin by it are refused.
PreparedNetwork prepared_network(Graph network, const TrainedPart& part, const AdapterInput& input);

}  // namespace espalier

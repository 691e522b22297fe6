// What a recipe says of a network's parametrisation: the key `parametrization` of its `training`.
//
//   training:
//     parametrization:
//       kind: mup                          # or standard, ntk
//       base: {width: 32, heads: 2, hidden: 128}   # variables of the definition at which all kinds
//                                          # are the network as it is defined
//       hidden: {multiplier: 0, deviation: 0.5, rate: 1}   # exponents; also input, output
//       attention: size                    # or root: what scores are divided by
#pragma once

#include <map>
#include <string>

#include "data/dataset.h"
#include "recipe/yaml.h"
#include "train/parametrization.h"

namespace espalier {

struct ModelPart;

struct ParametrizationPart {
  Parametrization exponents;
  std::map<std::string, std::string> base;  ///< values of the definition's variables
  Yaml place;                               ///< for messages
};

/// UserError with its line for kinds, keys and optimisers that are not known.
ParametrizationPart read_parametrization(const Yaml& part, const Optimizer& optimizer);

struct ParametrizedNetwork {
  Graph graph;
  std::map<std::string, WidthScale> scales;
  std::map<std::string, double> rate_factors;  ///< for TrainOptions; those that are not 1
};

/// The network of a definition under a parametrisation. Weights that the model names keep their
/// values. UserError at the part's line for a model that is no definition, and where the base's
/// variables make another network than another width.
ParametrizedNetwork parametrized_network(const ModelPart& model, const ParametrizationPart& part,
                                         const Optimizer& optimizer, uint64_t seed,
                                         const Dataset* data);

}  // namespace espalier

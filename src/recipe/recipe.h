// Recipes: experiments as YAML. Here are the parts that recipes share and the recipe that trains.
//
//   espalier: 1                        # version of this format
//   task: train
//   name: glyphs-resnet8
//   seed: 1
//   model: {zoo: resnet8}              # or {definition: net.yaml}, {file: net.onnx}; definitions
//                                      # take `variables`; classes, channels, size, vocabulary and
//                                      # context that are not given there are the data's; each
//                                      takes # `weights: net.safetensors`
//   data: synthetic:glyphs?val=0.1     # or the same as keys: {kind: synthetic, path: glyphs, ...};
//                                      # of a list, the first that is there
//   training:
//     epochs: 20
//     batch: 128
//     epoch_steps: 0                   # an epoch ends after so many; 0: with the data
//     precision: f32                   # or bf16
//     augment: crop=4,flip
//     loss: cross_entropy              # or mean_squared
//     label_smoothing: 0.1
//     rho: 3                           # of networks with a temperature: the robust loss' radius
//     clip_norm: 0
//     optimizer: {kind: sgd, momentum: 0.9, nesterov: true, weight_decay: 5e-4, states: f32}
//     saved_activations: fp8           # left out: as they are computed (storage_part.h)
//     schedule: {kind: cosine, peak: 0.1, warmup: 1, floor: 0}
//     rule: backprop                   # or another way to gradients: {kind: spsa, directions: 16}
//     log_every: 50
//     save_every: 0
//     only: [...]                      # or adapt: {...}: what is trained (trained_part.h)
//     batch_norm: tune                 # or a list of {mode, names} (train/norm_mode.h)
//     parametrization: {...}           # by the network's width (parametrization_part.h)
//     v_cycle: {first: 2, small: 8}    # smaller copies of the network first (v_cycle_part.h)
//     incubation: {meta_epochs: 9, …} # module by module first (incubation_part.h)
//
// Unknown keys are errors with their line.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/spec.h"
#include "recipe/incubation_part.h"
#include "recipe/parametrization_part.h"
#include "recipe/trained_part.h"
#include "recipe/v_cycle_part.h"
#include "recipe/yaml.h"
#include "train/trainer.h"

namespace espalier {

/// Where a recipe's network comes from.
struct ModelPart {
  std::filesystem::path path;                    ///< .yaml, .onnx, .tflite, .esp or .plan
  std::string text;                              ///< for reports: "zoo resnet8", "file net.onnx"
  std::map<std::string, std::string> variables;  ///< of a definition
  std::filesystem::path weights;                 ///< .safetensors with its parameters, or empty

  /// Whether its parameters are fresh: a definition without weights.
  bool is_untrained() const;
  /// The network, its batch open: UserError where a file's network is tied to one batch size. First
  /// parameters of a definition depend on `seed`; a definition's variables
  /// classes, channels and size default to what `data` (may be null) has. `deviations` as in
  /// BlueprintOptions.
  Graph build(uint64_t seed, const Dataset* data,
              std::map<std::string, double>* deviations = nullptr) const;
};

ModelPart read_model(const Yaml& part);
/// Values for a definition's variables. UserError for one that it does not declare.
std::map<std::string, std::string> read_variables(const Yaml& part,
                                                  const std::filesystem::path& definition);
/// A network by file name, for verbs that take one.
ModelPart model_from_file(const std::string& path);
/// A spec's text or its keys. Its path is looked for as data/locate.h says. Of a list of specs, the
/// first whose path is there, else the last.
DataSpec read_data(const Yaml& part);
/// An optimiser's kind, weight decay and settings; what is missing keeps its value from `defaults`,
/// settings only where the kind is the same.
Optimizer read_optimizer(const Yaml& part, Optimizer defaults);
/// A learning rule: its kind, or a map with `kind` and the rule's settings.
Rule read_rule(const Yaml& part);
/// Keys that are missing keep their value from `defaults`. `least_epochs` 0 allows no training. The
/// keys `only`, `adapt` and `batch_norm` are read where `trained` is given, `parametrization`,
/// `v_cycle` and `incubation` into the last three; without them they are unknown keys.
TrainOptions read_training(const Yaml& part, TrainOptions defaults = {}, int64_t least_epochs = 1,
                           TrainedPart* trained = nullptr,
                           std::optional<ParametrizationPart>* parametrization = nullptr,
                           std::optional<VCyclePart>* v_cycle = nullptr,
                           std::optional<IncubationPart>* incubation = nullptr);

struct TrainRecipe {
  std::string name;
  ModelPart model;
  DataSpec data;
  TrainOptions training;
  TrainedPart trained;
  std::optional<ParametrizationPart> parametrization;
  std::optional<VCyclePart> v_cycle;
  std::optional<IncubationPart> incubation;
  Yaml source;  ///< as it was read, with what the command line set
};

/// Reads a recipe of task `task` up to its parts: version and task are checked. UserError saying
/// what the file is when it is a network or a definition.
Yaml load_recipe(const std::filesystem::path& path, const std::string& task);
/// Sets "training.epochs=3" and the like. Errors that come of it, here or when the recipe is read,
/// name `option` ("--epochs 3"; by default "--set training.epochs=3") and are of usage. UserError
/// for a path that leads nowhere.
void set_recipe_value(Yaml& recipe, const std::string& assignment, const std::string& option = "");
/// With kStep, model and data are not read, so that they may be elsewhere.
enum class RecipeParts : uint8_t { kAll, kStep };
TrainRecipe read_train_recipe(const Yaml& recipe, RecipeParts parts = RecipeParts::kAll);

}  // namespace espalier

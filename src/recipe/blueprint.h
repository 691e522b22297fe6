// Blueprints: networks defined in YAML as typed blocks, built into graphs in inference form.
//
//   espalier: 1                      # version of this format
//   name: tiny
//   variables: {classes: 10}         # defaults; a recipe may set them, "$classes" reads them
//   input: {name: image, shape: [N, 3, 32, 32]}   # type: i64 takes tokens
//   body:                            # blocks, applied in order
//     - conv: {name: conv1, out: 16, kernel: 3, padding: 1, bias: false}
//     - batch_norm: {name: bn1}
//     - relu
//     - repeat:                      # once per position of the lists, which run in step
//         for: {stage: [1, 2], width: [16, 32], stride: [1, 2]}
//         name: layer$stage          # prefixes the names inside; $index counts from 0
//         body:
//           - residual:
//               main: [...]
//               shortcut: [...]      # applied where main changes the shape; also: identity (must
//                                    # not change it), where_possible (added only if unchanged)
//     - global_average_pool
//     - flatten
//     - linear: {name: fc, out: $classes}
//
// Blocks: conv, depthwise_conv, conv_transpose, linear, batch_norm, group_norm, layer_norm,
// length_norm, label, max_pool, average_pool, global_average_pool, flatten, channels_last, dropout,
// softmax, activations (relu, relu6, leaky_relu, sigmoid, tanh, gelu, hard_sigmoid, hard_swish,
// silu), residual, sequence, repeat, concat, reversible.
//
// Parameters carry names as PyTorch writes them ("layer1.0.conv1.weight"); weights and biases have
// Role::kParameter, running statistics Role::kBuffer. First values depend on (seed, name) alone.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "recipe/yaml.h"

namespace espalier {

struct BlueprintOptions {
  uint64_t seed = 0;
  /// Values for the definition's variables. UserError for one it does not declare.
  std::map<std::string, std::string> variables;
  /// Filled, where given, with the standard deviation each parameter was drawn with; those that
  /// begin as one number are not among them.
  std::map<std::string, double>* deviations = nullptr;
};

/// UserError with file:line for unknown blocks and keys, missing values, shapes that do not fit.
Graph build_blueprint(const Yaml& definition, const BlueprintOptions& options = {});
Graph load_blueprint(const std::filesystem::path& path, const BlueprintOptions& options = {});

/// Folders that may hold recipes, best first; those around the file `recipe` among them.
std::vector<std::filesystem::path> recipe_folders(const std::filesystem::path& recipe = {});

/// The definition of that name, zoo/NAME.yaml, looked for under $ESPALIER_RECIPES, beside the
/// folder of `recipe` (if one names it) and in it, under the installed recipes beside the program,
/// and in the source tree. UserError listing what there is.
std::filesystem::path zoo_path(const std::string& name, const std::filesystem::path& recipe = {});

}  // namespace espalier

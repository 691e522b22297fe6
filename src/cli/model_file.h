// Networks as files, by suffix: .onnx, .tflite, .esp (text), .plan (compiled form), .yaml
// (definition); their weights alone as .safetensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace CLI {
class App;
}

namespace espalier::cli {

struct Common;

/// The network in a file. UserError(usage) for an unknown suffix.
Graph load_model(const std::string& path, const std::map<std::string, Shape>& shapes = {});
/// Writes a network in the format the suffix names; a .plan holds it with the passes already run, a
/// .safetensors its parameters alone.
void save_model(const Graph& graph, const std::string& path);
/// A picture of `inspect --diagram`: structure without the values of weights.
bool is_picture_file(const std::string& path);
/// UserError(usage) when `path` exists and may not be replaced.
void refuse_overwriting(const std::string& path, const Common& common);

/// "1,3,224,224"; `option` in errors.
Shape parse_shape(const std::string& text, const std::string& option);
/// "x=1,3,224,224" and the like, as repeated options give them.
std::map<std::string, Shape> parse_shapes(const std::vector<std::string>& texts);

/// The model argument and the options that fix its shapes, as several verbs have them.
struct ModelOptions {
  std::string path;
  std::string weights;  ///< a file whose tensors take the place of the parameters
  std::vector<std::string> shape_texts;
  std::vector<std::string> variable_texts;  ///< NAME=VALUE, of a definition
  int64_t batch = 0;  ///< 0: 1 where the batch is open, else as the model says
  /// Fused regions stay as a file has them, for verbs that run networks as they are.
  bool keep_regions = false;
  /// Pictures of structure (.svg) are networks too, for verbs that do not look at values.
  bool pictures = false;

  void add_to(CLI::App& app);
  Graph load() const;
  /// Shapes of all inputs. Open first dimensions are the batch; UserError for other open ones.
  std::vector<Shape> shapes_of(const Graph& graph) const;
  /// The network for those shapes, shape computations folded.
  Graph load_static() const;
};

}  // namespace espalier::cli

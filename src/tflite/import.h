// TFLite files into graphs.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace espalier {

struct TfliteOptions {
  /// Shapes of graph inputs in place of those in the file.
  std::map<std::string, Shape> shapes;
};

/// The network in a TFLite file, in ONNX operators. What it takes and gives is as the file says:
/// pictures are [N, H, W, C], quantised inputs and outputs are integers. In between, pictures are
/// channels-first, and quantised tensors are integers between a QuantizeLinear and the
/// DequantizeLinears of their readers, so that integer kernels run them. Weights are parameters.
/// The batch is open where the file's signature says so and the network allows it.
///
/// Every operator that is not supported is listed at once in a UserError(unsupported), and so are
/// custom operators; whatever is malformed is one UserError(bad input) naming the place.
Graph import_tflite(const std::filesystem::path& path, const TfliteOptions& options = {});

/// The same from bytes. `where` names them in messages.
Graph import_tflite_bytes(std::string_view bytes, const std::string& where,
                          const TfliteOptions& options = {});

}  // namespace espalier

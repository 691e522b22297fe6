// Small networks with random weights for the tests of cuts and quantisation.
#pragma once

#include <string>
#include <vector>

#include "ir/builder.h"

namespace espalier::testing {

/// Uniform values in [lo, hi) of a stream named `key`.
Tensor random_tensor(Shape shape, const std::string& key, double lo = -1, double hi = 1);

/// Random inputs of the graph's shapes, symbolic extents replaced by `batch`.
std::vector<Tensor> random_inputs(const Graph& graph, int64_t batch, uint64_t seed);
/// Largest |a - b|; infinite where shapes differ.
double largest_difference(const Tensor& a, const Tensor& b);

/// Writes networks layer by layer; parameters get roles and random values.
class NetworkWriter {
 public:
  explicit NetworkWriter(const std::string& name) : b(graph) { graph.name = name; }
  Graph graph;
  Builder b;

  ValueId parameter(const std::string& name, Shape shape, double lo, double hi);
  ValueId buffer(const std::string& name, Shape shape, double lo, double hi);
  /// Convolution with square kernels, padded to keep the size at stride 1; no bias.
  ValueId conv(ValueId x, int64_t out, int64_t kernel, const std::string& name, int64_t stride = 1,
               int64_t groups = 1);
  ValueId batch_norm(ValueId x, const std::string& name);
  ValueId relu(ValueId x) { return b.one("Relu", {x}); }
  ValueId conv_bn_relu(ValueId x, int64_t out, int64_t kernel, const std::string& name,
                       int64_t stride = 1, int64_t groups = 1) {
    return relu(batch_norm(conv(x, out, kernel, name, stride, groups), name + ".bn"));
  }
  /// y = x W + c for x [N, K].
  ValueId linear(ValueId x, int64_t out, const std::string& name);
  Graph finish(ValueId output);
};

/// [N,12] -> 16 -> 10 -> 5, with Relu between.
Graph mlp();
/// Two residual blocks (8, then 12 channels at stride 2 with a projecting shortcut), global pool,
/// classifier; 3 x 8 x 8 inputs.
Graph residual();
/// Inverted residual blocks with depthwise convolutions and Clip, as MobileNetV2 has.
Graph depthwise();
/// Branches joined by Concat, then flattened with its spatial axes into a classifier.
Graph concat();

}  // namespace espalier::testing

// Post-training quantisation to 8-bit integers: a float network becomes a QDQ network (ONNX
// QuantizeLinear and DequantizeLinear, opset 13), which other runtimes read and our passes fuse
// into integer kernels.
//
// Weights are s8, symmetric, one scale per output channel; activations u8 with zero point 0 where
// calibration saw nothing negative, else s8 symmetric; biases i32. Each contraction with constant
// weights is quantised with what its kernel does on the way out (one residual sum, one activation):
// no integers are stored inside such a line, only at its end. Operators between lines that an
// integer form passes through (pooling, reshaping) stay in integers where both sides are. Graph
// outputs are left in float.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compress/calibrate.h"
#include "compress/output_error.h"

namespace espalier {

/// The network as quantisation wants it: constants folded, inference batch norms folded away. The
/// function is the same up to rounding; calibrate and quantise this one.
Graph prepared_for_quantization(const Graph& graph);

/// Layers that can be quantised: the first result's name of each contraction with constant weights,
/// in order. These names are what `exclude` takes.
std::vector<std::string> quantizable_layers(const Graph& prepared);

/// The QDQ network. `ranges` by value name (see Calibrator); layers in `exclude` stay in float.
/// UserError when a range is missing or a name in `exclude` is no layer.
Graph quantize(const Graph& prepared, const Ranges& ranges,
               const std::set<std::string>& exclude = {});

/// The error one layer causes when it alone is quantised.
struct LayerError {
  std::string layer;
  double relative_error = 0;  ///< |y_quantised - y| / |y|, Euclidean, over all outputs and samples
};

/// Layers by the error they cause, worst first, on the first of these batches of inputs: two, or
/// as many as hold eight samples.
std::vector<LayerError> sensitivity(const Graph& prepared, const Ranges& ranges,
                                    std::span<const std::vector<Tensor>> batches);

/// Layers that cost the most leave the integers, in doubling numbers, until what `lower` makes of
/// the network without those in `out` is at most `max_error` off; `out` has them then. Returns the
/// last one's error.
double leave_integers(std::span<const LayerError> worst_first, double max_error,
                      const OutputError& judge,
                      const std::function<Graph(const std::set<std::string>&)>& lower,
                      std::set<std::string>& out, Graph& lowered);

}  // namespace espalier

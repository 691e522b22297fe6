// Networks that depend on data, run in every way there is.
#pragma once

#include <string>
#include <vector>

#include "ir/datum.h"
#include "ir/graph.h"
#include "runtime/session.h"

namespace espalier::testing {

/// The outputs of a network for these inputs by the reference interpreter, after expecting the same
/// of a compiled model, of what its text says, and of what its ONNX file says (`onnx`).
std::vector<Datum> agreed(const Graph& graph, const std::vector<Datum>& inputs, bool onnx = true);
/// The same for a network written as text.
std::vector<Datum> agreed(const std::string& text, const std::vector<Datum>& inputs,
                          bool onnx = true);
/// The one result of such a network as numbers.
std::vector<double> numbers(const std::string& text, const std::vector<Datum>& inputs,
                            bool onnx = true);

/// Elements of a tensor.
std::vector<double> elements(const Tensor& tensor);
Tensor f32s(std::vector<float> values);
Tensor i64(int64_t value);
Tensor flag(bool value);

/// The errors of the interpreter and of a compiled model, which must both refuse these inputs.
std::string refusal(const std::string& text, const std::vector<Datum>& inputs);

}  // namespace espalier::testing

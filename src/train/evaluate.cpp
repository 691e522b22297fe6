// Evaluation of a network on a data set.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "runtime/session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

/// The network with `name` as its only output.
Graph with_output(const Graph& network, const std::string& name) {
  if (name.empty() && network.outputs().size() == 1) return network;
  Graph g = network;
  const ValueId v = name.empty() ? kNoValue : g.find(name);
  if (v == kNoValue)
    throw bad_input(g.name, name.empty() ? "has several outputs" : "has no value '" + name + "'",
                    "name the output that answers as 'output'");
  g.set_outputs({v});
  g.erase_dead();
  return g;
}

void check_fit(const Value& input, const Tensor& batch) {
  const TensorType given(batch.dtype(), batch.shape());
  if (input.type.is_tensor() && refines(given, input.type)) return;
  std::string hint;
  if (given.rank() == 4 && input.type.is_tensor()) {
    // Pictures whose channels stand at the other end.
    const auto moved = [&](std::vector<size_t> axes) {
      Dims dims;
      for (size_t axis : axes) dims.push_back(given.dims[axis]);
      return refines(TensorType(given.dtype, dims), input.type);
    };
    if (moved({0, 2, 3, 1})) hint = "layout=nhwc in the data's spec puts the channels last";
    if (moved({0, 3, 1, 2})) hint = "layout=nchw in the data's spec puts the channels first";
  }
  throw bad_input(
      "input '" + input.name + "'",
      "the data gives " + to_string(given) + ", the network takes " + to_string(input.type), hint);
}

struct Sums {
  double loss = 0, right = 0;
};

void add_classified(Sums& sums, const Tensor& logits, const Tensor& labels, int64_t rows) {
  if (labels.dtype() != DType::i64 || logits.rank() != 2)
    throw bad_input("evaluation",
                    "class labels and an output [N, classes] are needed, the output "
                    "is " +
                        to_string(TensorType(logits.dtype(), logits.shape())));
  const int64_t classes = logits.shape()[1];
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t label = labels.int_at(r);
    if (label < 0 || label >= classes)
      throw bad_input("evaluation", "a sample has label " + std::to_string(label) +
                                        ", the network answers with " + std::to_string(classes) +
                                        " classes");
    int64_t best = 0;
    for (int64_t c = 1; c < classes; ++c)
      if (logits.at(r * classes + c) > logits.at(r * classes + best)) best = c;
    const double top = logits.at(r * classes + best);
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(logits.at(r * classes + c) - top);
    sums.loss += top + std::log(sum) - logits.at(r * classes + label);
    sums.right += best == label ? 1 : 0;
  }
}

void add_squared(Sums& sums, const Tensor& output, const Tensor& targets, int64_t rows) {
  if (output.size() != targets.size())
    throw bad_input("evaluation", "the output is " + to_string(output.shape()) +
                                      ", the targets are " + to_string(targets.shape()));
  const int64_t width = output.size() / output.shape()[0];
  for (int64_t i = 0; i < rows * width; ++i) {
    const double d = output.at(i) - targets.at(i);
    sums.loss += d * d / double(width);
  }
}

}  // namespace

Evaluation evaluate(const Graph& network, const Dataset& data, Loss loss, int64_t batch,
                    const std::string& output) {
  Graph g = with_output(network, output);
  if (g.inputs().size() != 1)
    throw unsupported(g.name, "takes " + std::to_string(g.inputs().size()) +
                                  " inputs, evaluation knows networks of one");
  const Value input = g.value(g.inputs()[0]);
  // Only one program is compiled: a last batch that is not full is filled with repetitions.
  int64_t rows = std::min(batch, data.size());
  if (input.type.is_tensor() && input.tensor().rank() > 0 && input.tensor().dims[0].known())
    rows = input.tensor().dims[0].value();
  Model model(std::move(g));
  Sums sums;
  std::vector<int64_t> indices(static_cast<size_t>(rows));
  for (int64_t first = 0; first < data.size(); first += rows) {
    const int64_t valid = std::min(rows, data.size() - first);
    for (int64_t i = 0; i < rows; ++i) indices[size_t(i)] = first + std::min(i, valid - 1);
    const Batch b = data.fetch(indices);
    check_fit(input, b.inputs);
    const Tensor answer = model.run({b.inputs}).at(0);
    if (loss == Loss::kCrossEntropy)
      add_classified(sums, answer, b.targets, valid);
    else
      add_squared(sums, answer, b.targets, valid);
  }
  const double n = double(std::max<int64_t>(1, data.size()));
  return {sums.loss / n, sums.right / n, data.size()};
}

}  // namespace espalier

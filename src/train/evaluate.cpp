// Evaluation of a network on a data set.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/error.h"
#include "base/threads.h"
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

/// Answers of one class: places labelled so, answered so, and both.
struct Overlap {
  int64_t labelled = 0, answered = 0, both = 0;
};

struct Sums {
  double loss = 0, right = 0;
  int64_t answers = 0;
  std::vector<Overlap> classes = {};
};

struct Classified {
  double loss = 0;
  int64_t answer = 0;
};

/// One row of logits, one label.
Classified classified(const float* row, int64_t classes, int64_t label) {
  if (label < 0 || label >= classes)
    throw bad_input("evaluation", "a sample has label " + std::to_string(label) +
                                      ", the network answers with " + std::to_string(classes) +
                                      " classes");
  const float* best = std::max_element(row, row + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(double(row[c]) - double(*best));
  return {double(*best) + std::log(sum) - double(row[label]), best - row};
}

/// The first `samples` of a batch.
void add_classified(Sums& sums, const Tensor& answer, const Tensor& labels, int64_t samples) {
  const Tensor logits = answer.cast(DType::f32);
  const Shape& shape = logits.shape();
  if (labels.dtype() != DType::i64 || shape.size() < 2 ||
      Shape(shape.begin(), shape.end() - 1) != labels.shape())
    throw bad_input("evaluation", "an output with one row of classes for each label of " +
                                      to_string(TensorType(labels.dtype(), labels.shape())) +
                                      " is needed, the output is " +
                                      to_string(TensorType(answer.dtype(), answer.shape())));
  const int64_t classes = shape.back(), rows = samples * (labels.size() / labels.shape()[0]);
  std::vector<Classified> each(static_cast<size_t>(rows));
  constexpr int64_t kGrain = 1 << 14;
  parallel_for(rows, std::max<int64_t>(1, kGrain / classes), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      each[size_t(r)] =
          classified(logits.data<float>() + r * classes, classes, labels.data<int64_t>()[r]);
  });
  sums.classes.resize(size_t(classes));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t label = labels.data<int64_t>()[r], answer = each[size_t(r)].answer;
    sums.loss += each[size_t(r)].loss;
    sums.right += answer == label;
    ++sums.answers;
    ++sums.classes[size_t(label)].labelled;
    ++sums.classes[size_t(answer)].answered;
    sums.classes[size_t(label)].both += answer == label;
  }
}

std::vector<double> dice_of(const std::vector<Overlap>& classes) {
  std::vector<double> dice;
  for (const Overlap& c : classes) {
    const int64_t places = c.labelled + c.answered;
    dice.push_back(places == 0 ? 1 : 2 * double(c.both) / double(places));
  }
  return dice;
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
  sums.answers += rows;
}

}  // namespace

double perplexity(double loss) { return std::exp(loss); }

double bits_per_byte(double loss, double bytes_per_token) {
  return loss / (std::numbers::ln2 * bytes_per_token);
}

Evaluation evaluate(const Graph& network, const Dataset& data, Loss loss, int64_t batch,
                    const std::string& output) {
  if (loss != Loss::kCrossEntropy && loss != Loss::kMeanSquared)
    throw unsupported(data.description(), "is evaluated by cross-entropy or squared errors only");
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
  const double n = double(std::max<int64_t>(1, sums.answers));
  Evaluation e{sums.loss / n, sums.right / n, data.size()};
  if (!data.target_shape().empty() && data.bytes_per_target() == 0) e.dice = dice_of(sums.classes);
  return e;
}

}  // namespace espalier

#include "reproduce/performance_net.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "base/error.h"
#include "base/rng.h"
#include "ir/builder.h"
#include "runtime/session.h"
#include "train/step_session.h"

namespace espalier {
namespace {

constexpr int64_t kTokenWidth = 16;
constexpr int64_t kHidden = 64;

class Writer {
 public:
  Writer(int64_t batch, uint64_t seed) : batch_(batch), seed_(seed) {}

  /// Normal first values with that deviation; a bias is 0.
  ValueId parameter(const std::string& name, const Shape& shape, double deviation) {
    Tensor t(DType::f32, shape);
    const Rng rng(seed_, stream_of(name));
    for (int64_t i = 0; i < t.size(); ++i)
      t.mutable_data<float>()[i] = float(deviation * rng.normal(uint64_t(i)));
    return g.add_constant(name, std::move(t), Role::kParameter);
  }
  ValueId linear(const std::string& name, ValueId x, int64_t in, int64_t out) {
    const ValueId w = parameter(name + ".weight", {in, out}, 1 / std::sqrt(double(in)));
    return b.add(b.matmul(x, w), parameter(name + ".bias", {out}, 0));
  }
  ValueId relu(ValueId x) { return b.one("Relu", {x}); }
  /// Columns [from, to) of [batch, columns].
  ValueId columns(ValueId x, int64_t from, int64_t to) {
    return b.one("Slice", {x, b.ints({from}), b.ints({to}), b.ints({1})});
  }
  /// x [batch, tokens, width] plus what its tokens attend to among themselves.
  ValueId attention(const std::string& name, ValueId x) {
    const double deviation = 1 / std::sqrt(double(kTokenWidth));
    const auto projected = [&](const char* which) {
      return b.matmul(x, parameter(name + "." + which, {kTokenWidth, kTokenWidth}, deviation));
    };
    const ValueId q = projected("query"), k = projected("key"), v = projected("value");
    const ValueId scores = b.mul(b.matmul(q, b.transpose(k, {0, 2, 1})), deviation);
    const ValueId shares = b.one("Softmax", {scores}, {{"axis", int64_t{-1}}});
    return b.add(x, b.matmul(shares, v));
  }
  /// The tokens of a group whose columns begin at `first`: [batch, characteristics, width].
  ValueId tokens(const ColumnGroup& group, ValueId x, int64_t first) {
    Values parts;
    int64_t at = first;
    if (const auto n = int64_t(group.numbers()); n > 0) {
      const ValueId numbers = b.reshape(columns(x, at, at + n), {batch_, n, 1});
      const ValueId scale = parameter(group.name + ".scale", {n, kTokenWidth}, 0.5);
      parts.push_back(
          b.add(b.mul(numbers, scale), parameter(group.name + ".shift", {n, kTokenWidth}, 0.1)));
      at += n;
    }
    for (size_t c = group.numbers(); c < group.columns.size(); ++c) {
      const auto width = int64_t(group.columns[c].width());
      const std::string name = group.name + ".category" + std::to_string(c);
      const ValueId one_hot = columns(x, at, at + width);
      const ValueId token = b.matmul(one_hot, parameter(name, {width, kTokenWidth}, 0.5));
      parts.push_back(b.reshape(token, {batch_, 1, kTokenWidth}));
      at += width;
    }
    return joined(parts);
  }
  ValueId joined(const Values& parts) {
    return parts.size() == 1 ? parts[0] : b.one("Concat", parts, {{"axis", int64_t{1}}});
  }

  Graph g;
  Builder b{g};

 private:
  const int64_t batch_;
  const uint64_t seed_;
};

int64_t width_of(const std::vector<ColumnGroup>& groups) {
  size_t sum = 0;
  for (const ColumnGroup& g : groups) sum += g.width();
  return int64_t(sum);
}

ValueId group_attention(Writer& w, const std::vector<ColumnGroup>& groups, ValueId x,
                        int64_t batch) {
  Values means;
  int64_t first = 0;
  for (const ColumnGroup& group : groups) {
    const ValueId tokens = w.attention(group.name, w.tokens(group, x, first));
    means.push_back(w.b.reduce_mean(tokens, {1}));
    first += int64_t(group.width());
  }
  const auto count = int64_t(groups.size());
  const ValueId across = w.attention("groups", w.joined(means));
  const ValueId flat = w.b.reshape(across, {batch, count * kTokenWidth});
  // The characteristics themselves join in, as NCPP's residual path lets them.
  const ValueId all = w.joined({flat, x});
  const int64_t width = count * kTokenWidth + width_of(groups);
  return w.linear("out", w.relu(w.linear("hidden", all, width, kHidden)), kHidden, 1);
}

ValueId perceptron(Writer& w, int64_t width, ValueId x) {
  const ValueId first = w.relu(w.linear("first", x, width, kHidden));
  const ValueId second = w.relu(w.linear("second", first, kHidden, kHidden));
  return w.linear("out", second, kHidden, 1);
}

/// Rows `which`, as many as the batch takes; those beyond are zeros.
Tensor batch_of(const FeatureTable& x, std::span<const size_t> which, int64_t batch) {
  Tensor t(DType::f32, {batch, int64_t(x.columns())});
  float* p = t.mutable_data<float>();
  for (size_t i = 0; i < which.size(); ++i)
    for (size_t j = 0; j < x.columns(); ++j) p[i * x.columns() + j] = float(x.at(which[i], j));
  return t;
}

struct Scaling {
  double mean = 0, deviation = 1;
};

Scaling scaling_of(const std::vector<double>& y, std::span<const size_t> training) {
  Scaling s;
  for (size_t i : training) s.mean += y[i] / double(training.size());
  double square = 0;
  for (size_t i : training) square += (y[i] - s.mean) * (y[i] - s.mean) / double(training.size());
  if (square > 0) s.deviation = std::sqrt(square);
  return s;
}

}  // namespace

Graph performance_network(PerformanceNet kind, const std::vector<ColumnGroup>& groups,
                          int64_t batch, uint64_t seed) {
  Writer w(batch, seed);
  w.g.name = kind == PerformanceNet::kPerceptron ? "perceptron" : "ncpp";
  const int64_t width = width_of(groups);
  const ValueId x = w.g.add_input("x", TensorType(DType::f32, Shape{batch, width}));
  w.g.add_output(kind == PerformanceNet::kPerceptron ? perceptron(w, width, x)
                                                     : group_attention(w, groups, x, batch));
  return std::move(w.g);
}

std::vector<double> train_and_predict(PerformanceNet kind, const GroupedTable& table,
                                      std::span<const size_t> training,
                                      std::span<const size_t> wanted,
                                      const PerformanceTraining& options) {
  ESP_CHECK(!training.empty() && options.steps > 0, "something to learn from");
  const FeatureTable x = standardised(table, training);
  const Scaling scaling = scaling_of(table.target, training);
  const Graph network = performance_network(kind, table.groups, options.batch, options.seed);
  StepOptions step;
  step.input = {options.batch, int64_t(x.columns())};
  step.loss = Loss::kMeanSquared;
  step.clip_norm = 1;
  step.optimizer.kind = "adamw";
  step.optimizer.weight_decay = 1e-3;
  StepSession session(build_training_step(network, step));
  const Rng rng(options.seed, stream_of("performance batches"));
  std::vector<size_t> rows(static_cast<size_t>(options.batch));
  for (int64_t s = 0; s < options.steps; ++s) {
    Tensor targets(DType::f32, {options.batch, 1});
    for (int64_t i = 0; i < options.batch; ++i) {
      const auto draw = uint64_t(s * options.batch + i);
      rows[size_t(i)] = training[size_t(rng.below(draw, training.size()))];
      targets.mutable_data<float>()[i] =
          float((table.target[rows[size_t(i)]] - scaling.mean) / scaling.deviation);
    }
    const double rate =
        options.rate * 0.5 * (1 + std::cos(std::numbers::pi * double(s) / double(options.steps)));
    session.run({batch_of(x, rows, options.batch), std::move(targets)}, rate, s + 1);
  }
  std::map<std::string, Tensor> learned;
  for (const StepParameter& p : session.graph().parameters) learned[p.name] = session.state(p.name);
  Session predictor(compile(with_values(network, learned)));
  std::vector<double> predictions;
  for (size_t at = 0; at < wanted.size(); at += size_t(options.batch)) {
    const auto some = wanted.subspan(at, std::min(wanted.size() - at, size_t(options.batch)));
    const Tensor y = predictor.run({batch_of(x, some, options.batch)}).at(0);
    for (size_t i = 0; i < some.size(); ++i)
      predictions.push_back(scaling.mean + scaling.deviation * y.at(int64_t(i)));
  }
  return predictions;
}

}  // namespace espalier

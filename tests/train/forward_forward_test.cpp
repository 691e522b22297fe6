// The forward-forward rule against the same done by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "tests/train/one_step.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using testing::batch_of;
using ::testing::HasSubstr;
using testing::options_of;
using testing::taken;
using Tensors = std::map<std::string, Tensor>;
const bool kQuiet = (set_quiet(true), true);

/// x with a neutral label in the place of its first elements.
ValueId labelled(Builder& b, ValueId x, const Shape& sample, int64_t classes, float scale = 1) {
  Shape shape = {1};
  shape.insert(shape.end(), sample.begin(), sample.end());
  Tensor kept(DType::f32, shape), neutral(DType::f32, shape);
  for (int64_t i = 0; i < kept.size(); ++i) {
    kept.mutable_data<float>()[i] = i < classes ? 0 : 1;
    neutral.mutable_data<float>()[i] = i < classes ? scale / float(classes) : 0;
  }
  return b.add(b.mul(x, b.constant(kept)), b.constant(neutral, "neutral_label"));
}

ValueId direction(Builder& b, ValueId x) {
  const double extent = double(b.type(x).dims[1].value());
  return b.mul(b.one("LpNormalization", {x}, {{"axis", int64_t{1}}}), std::sqrt(extent));
}

ValueId dense(Builder& b, ValueId x, const std::string& name, int64_t in, int64_t out) {
  const ValueId w = testing::parameter(b.graph(), name + ".weight", {out, in}, 0.7);
  const ValueId bias = testing::parameter(b.graph(), name + ".bias", {out}, 0.2);
  return b.one("Gemm", {x, w, bias}, {{"transB", int64_t{1}}}, name);
}

struct Form {
  int64_t in = 6, hidden = 7, classes = 2;
  bool label = true, directions = true;
  int64_t label_classes = 0;  ///< 0: as many as classes
  bool scaled = false;        ///< the last direction, by a parameter
  float scale = 1;
};

/// Two hidden layers, and a last one that reads both.
Graph network(const Form& f) {
  Graph g;
  g.name = "two_layers";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(f.in)}));
  if (f.label) x = labelled(b, x, {f.in}, f.label_classes ? f.label_classes : f.classes, f.scale);
  ValueId first = b.one("Relu", {dense(b, x, "fc1", f.in, f.hidden)});
  if (f.directions) first = direction(b, first);
  ValueId second = direction(b, b.one("Relu", {dense(b, first, "fc2", f.hidden, f.hidden)}));
  if (f.scaled) second = b.mul(second, testing::parameter(g, "gamma", {1, f.hidden}, 1));
  const ValueId both = b.one("Concat", {first, second}, {{"axis", int64_t{1}}});
  g.add_output(dense(b, both, "head", 2 * f.hidden, f.classes));
  return g;
}

/// network(f) by hand, in double.
class ByHand {
 public:
  using Rows = std::vector<std::vector<double>>;

  ByHand(const Form& f, const Batch& batch, double threshold, bool sum)
      : form_(f), batch_(batch), threshold_(threshold), sum_(sum) {
    const Graph g = network(f);
    for (ValueId v : g.constants())
      if (g.value(v).role == Role::kParameter)
        for (int64_t e = 0; e < g.value(v).constant->size(); ++e)
          values[g.value(v).name].push_back(g.value(v).constant->at(e));
  }

  std::map<std::string, std::vector<double>> values;

  /// Samples with the element of that label at `scale`; -1: with the neutral one.
  Rows samples(int wrong_by) const {
    Rows rows;
    for (int64_t n = 0; n < batch_.inputs.shape()[0]; ++n) {
      std::vector<double> row;
      for (int64_t i = 0; i < form_.in; ++i) row.push_back(batch_.inputs.at(n * form_.in + i));
      for (int64_t c = 0; c < form_.classes; ++c)
        row[size_t(c)] = wrong_by < 0 ? form_.scale / double(form_.classes) : 0;
      if (wrong_by >= 0)
        row[size_t((batch_.targets.int_at(n) + wrong_by) % form_.classes)] = form_.scale;
      rows.push_back(row);
    }
    return rows;
  }

  Rows layer(const std::string& name, const Rows& x, bool rectified = true) const {
    const auto &w = values.at(name + ".weight"), &bias = values.at(name + ".bias");
    Rows y;
    for (const auto& row : x) {
      std::vector<double> out;
      for (size_t j = 0; j < bias.size(); ++j) {
        double z = bias[j];
        for (size_t i = 0; i < row.size(); ++i) z += w[j * row.size() + i] * row[i];
        out.push_back(rectified ? std::max(0.0, z) : z);
      }
      y.push_back(out);
    }
    return y;
  }

  static Rows directions(Rows rows) {
    for (auto& row : rows) {
      double squares = 0;
      for (double v : row) squares += v * v;
      for (double& v : row) v *= squares > 0 ? std::sqrt(double(row.size()) / squares) : 0;
    }
    return rows;
  }

  double loss_of_layer(const std::string& name, const Rows& right, const Rows& wrong) const {
    const auto mean = [&](const Rows& rows, double sign) {
      double sum = 0;
      for (const auto& row : rows) {
        double squares = 0;
        for (double v : row) squares += v * v;
        const double n = double(row.size());
        const double over = sum_ ? squares - threshold_ * n : squares / n - threshold_;
        sum += std::log1p(std::exp(sign * over));
      }
      return sum / double(rows.size());
    };
    return (mean(layer(name, right), -1) + mean(layer(name, wrong), 1)) / 2;
  }

  /// Cross-entropy of the last layer.
  double loss(const Rows& read) const {
    double sum = 0;
    const Rows logits = layer("head", read, false);
    for (size_t n = 0; n < logits.size(); ++n) {
      double all = 0;
      for (double z : logits[n]) all += std::exp(z);
      sum += std::log(all) - logits[n][size_t(batch_.targets.int_at(int64_t(n)))];
    }
    return sum / double(logits.size());
  }

  /// Central differences of a loss by each element of a parameter.
  std::vector<double> slopes(const std::string& name, const std::function<double()>& of) {
    std::vector<double> d;
    for (double& v : values.at(name)) {
      const double at = v;
      v = at + 1e-5;
      const double up = of();
      v = at - 1e-5;
      d.push_back((up - of()) / 2e-5);
      v = at;
    }
    return d;
  }

 private:
  Form form_;
  Batch batch_;
  double threshold_;
  bool sum_;
};

TEST(ForwardForward, GradientsAreThoseOfTheLocalLosses) {
  const Form form = {.scale = 1.5f};
  const Batch batch = batch_of({5, form.in}, form.classes);
  for (const bool sum : {false, true}) {
    const double threshold = sum ? 0.7 : 1.3;
    const Tensors got =
        taken(network(form),
              options_of({5, form.in}, {"forward_forward",
                                        {{"threshold", threshold}, {"goodness", double(!sum)}}}),
              batch)
            .gradients;
    ByHand hand(form, batch, threshold, sum);
    // Of two classes the wrong label is the other.
    const auto right = hand.samples(0), wrong = hand.samples(1), neutral = hand.samples(-1);
    const auto right1 = hand.directions(hand.layer("fc1", right));
    const auto wrong1 = hand.directions(hand.layer("fc1", wrong));
    const auto first = hand.directions(hand.layer("fc1", neutral));
    const auto second = hand.directions(hand.layer("fc2", first));
    auto read = first;
    for (size_t n = 0; n < read.size(); ++n)
      read[n].insert(read[n].end(), second[n].begin(), second[n].end());
    const std::map<std::string, std::function<double()>> losses = {
        {"fc1", [&] { return hand.loss_of_layer("fc1", right, wrong); }},
        {"fc2", [&] { return hand.loss_of_layer("fc2", right1, wrong1); }},
        {"head", [&] { return hand.loss(read); }}};
    for (const auto& [layer, loss] : losses)
      for (const std::string& name : {layer + ".weight", layer + ".bias"}) {
        const std::vector<double> want = hand.slopes(name, loss);
        double largest = 0;
        for (size_t e = 0; e < want.size(); ++e) {
          EXPECT_NEAR(got.at(name).at(int64_t(e)), want[e], 1e-5) << name << " " << e;
          largest = std::max(largest, std::abs(want[e]));
        }
        EXPECT_GT(largest, 1e-2) << name;
      }
  }
}

/// Convolutions whose directions are along the channels of each place.
Graph convolutions() {
  Graph g;
  g.name = "convolutions";
  Builder b(g);
  const Dims dims = {Dim::symbol("N"), Dim(2), Dim(6), Dim(6)};
  ValueId x = labelled(b, g.add_input("x", TensorType(DType::f32, dims)), {2, 6, 6}, 4);
  const AttributeMap same = {{"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  const auto conv = [&](ValueId v, const std::string& name, int64_t in) {
    const ValueId w = testing::parameter(g, name + ".weight", {4, in, 3, 3}, 0.3);
    return direction(b, b.one("Relu", {b.one("Conv", {v, w}, same, name)}));
  };
  const ValueId first = conv(x, "conv1", 2), second = conv(first, "conv2", 4);
  const ValueId pooled = b.one("GlobalAveragePool", {b.add(first, second)});
  g.add_output(dense(b, b.one("Flatten", {pooled}), "fc", 4, 4));
  return g;
}

TEST(ForwardForward, NothingPassesFromLayerToLayer) {
  const Shape input = {6, 2, 6, 6};
  const Batch batch = batch_of(input, 4);
  const auto differ = [&](const Rule& rule, const std::string& changed, const Shape& shape) {
    const Graph g = convolutions();
    const Tensors a = taken(g, options_of(input, rule), batch).gradients;
    const Tensors b = taken(with_values(g, {{changed, testing::random_tensor(shape, "other", 1)}}),
                            options_of(input, rule), batch)
                          .gradients;
    std::set<std::string> names;
    for (const auto& [name, t] : a)
      if (!t.identical(b.at(name))) names.insert(name);
    return names;
  };
  using Names = std::set<std::string>;
  const Rule rule = {"forward_forward"};
  EXPECT_EQ(differ(rule, "fc.weight", {4, 4}), (Names{"fc.weight", "fc.bias"}));
  EXPECT_EQ(differ(rule, "conv2.weight", {4, 4, 3, 3}),
            (Names{"conv2.weight", "fc.weight", "fc.bias"}));
  EXPECT_EQ(differ({}, "fc.weight", {4, 4}),
            (Names{"conv1.weight", "conv2.weight", "fc.weight", "fc.bias"}));
}

/// Labels drawn in steps 1 to `steps`, one after the other.
std::vector<int64_t> wrong_labels(const Graph& g, StepOptions o, const Batch& batch, int steps) {
  const StepExtension shown = {
      [](StepGraph& s) { s.add_output("wrong_labels", s.graph.find("wrong_labels")); }, {}, {}};
  StepSession session(build_training_step(g, o, std::span(&shown, 1)));
  std::vector<int64_t> labels;
  for (int step = 1; step <= steps; ++step) {
    session.run(batch, 0, step);
    const Tensor drawn = session.output("wrong_labels");
    for (int64_t i = 0; i < drawn.size(); ++i) labels.push_back(drawn.int_at(i));
  }
  return labels;
}

TEST(ForwardForward, WrongLabelsAreDrawnBySeedAndStep) {
  const Form form = {.classes = 3};
  const Shape input = {60, form.in};
  const Batch batch = batch_of(input, 3);
  for (const double likely : {0, 1}) {
    StepOptions o = options_of(input, {"forward_forward", {{"negatives", likely}}});
    const std::vector<int64_t> labels = wrong_labels(network(form), o, batch, 20);
    std::array<int, 3> count = {};
    for (size_t i = 0; i < labels.size(); ++i) {
      ASSERT_TRUE(labels[i] >= 0 && labels[i] < 3);
      ++count[size_t((labels[i] + 3 - batch.targets.int_at(int64_t(i % 60))) % 3)];
    }
    EXPECT_EQ(count[0], 0);
    if (likely == 0) {
      EXPECT_NEAR(count[1], 600, 75);  // four deviations of 1200 even draws
    }
    EXPECT_EQ(labels, wrong_labels(network(form), o, batch, 20));
    const std::vector<int64_t> first(labels.begin(), labels.begin() + 60);
    EXPECT_NE(first, std::vector<int64_t>(labels.begin() + 60, labels.begin() + 120));
    o.seed = 8;
    EXPECT_NE(first, wrong_labels(network(form), o, batch, 1));
  }
  // By the network's answers: one of odds e^50 is the one that is drawn.
  const Graph sure =
      with_values(network(form), {{"head.bias", Tensor::from<float>({3}, {0, 0, 50})}});
  const StepOptions o = options_of(input, {"forward_forward", {{"negatives", 1}}});
  const std::vector<int64_t> labels = wrong_labels(sure, o, batch, 1);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (i % 3 != 2) {
      EXPECT_EQ(labels[i], 2) << i;
    }
  }
}

/// The last layer reads the last hidden one alone.
TEST(ForwardForward, ALayerIsDoneWithOnceItsLossesAreThere) {
  Graph g;
  g.name = "deep";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(16)}));
  ValueId h = labelled(b, x, {16}, 4);
  for (int layer = 0; layer < 8; ++layer)
    h = direction(b, b.one("Relu", {dense(b, h, "fc" + std::to_string(layer), 16, 16)}));
  g.add_output(dense(b, h, "head", 16, 4));
  const auto arena = [&](const std::string& kind) {
    return StepSession(build_training_step(g, options_of({256, 16}, {kind}))).memory().arena;
  };
  EXPECT_LT(2 * arena("forward_forward"), arena("backprop"));
}

/// Blobs behind five elements that say nothing.
std::shared_ptr<const Dataset> padded_blobs(int64_t count, uint64_t seed) {
  const auto blobs = testing::blobs(count, 5, seed);
  Tensor samples(DType::f32, {count, 7});
  for (int64_t i = 0; i < count; ++i) blobs->read(i, samples.mutable_data<float>() + 7 * i + 5);
  return testing::dataset(samples, blobs->targets(), 5, "padded blobs");
}

TEST(ForwardForward, Learns) {
  const auto data = padded_blobs(400, 1), test = padded_blobs(200, 9);
  for (const double likely : {0, 1}) {
    TrainOptions o;
    o.epochs = 20;
    o.batch = 16;
    o.seed = 3;
    o.optimizer = {"adamw", {}, 0};
    o.rule = {"forward_forward", {{"negatives", likely}}};
    o.schedule.peak = 0.01;
    Trainer trainer(network({.in = 7, .hidden = 24, .classes = 5}), data, test, o);
    const TrainResult r = trainer.train();
    EXPECT_LT(r.history.back().train_loss, 0.5 * r.history.front().train_loss);
    // What is handed over answers alone, to samples as they come.
    const double accuracy = evaluate(trainer.network(), *test, Loss::kCrossEntropy).accuracy;
    EXPECT_GT(accuracy, 0.9) << likely;
    EXPECT_EQ(accuracy, trainer.evaluate(*test).accuracy);
  }
}

std::string refusal(const Graph& g, const Shape& input, DType type = DType::f32) {
  StepOptions o = options_of(input, {"forward_forward"});
  o.input_type = type;
  try {
    build_training_step(g, o);
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("rule 'forward_forward'"));
    return e.what();
  }
  return "";
}

TEST(ForwardForward, RefusesNetworksThatItWouldNotTrain) {
  const Form form;
  const Shape input = {5, form.in};
  EXPECT_EQ(refusal(network(form), input), "");
  EXPECT_THAT(refusal(network({.label = false}), input), HasSubstr("neutral_label"));
  EXPECT_THAT(refusal(network({.label_classes = 3}), input), HasSubstr("each of 2 classes"));
  EXPECT_THAT(refusal(network({.directions = false}), input), HasSubstr("layer of 'fc1.weight'"));
  EXPECT_THAT(refusal(network({.scaled = true}), input), HasSubstr("'gamma'"));
  EXPECT_THAT(refusal(testing::small_cnn(4), {6, 2, 6, 6}), HasSubstr("neutral_label"));
  EXPECT_THAT(refusal(testing::small_gpt(7, 4, 8), {2, 4}, DType::i64),
              HasSubstr("one label for each sample"));
  Graph shallow;
  shallow.name = "shallow";
  Builder b(shallow);
  const ValueId x =
      shallow.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(form.in)}));
  shallow.add_output(dense(b, labelled(b, x, {form.in}, 2), "fc", form.in, 2));
  EXPECT_THAT(refusal(shallow, input), HasSubstr("no hidden layer"));
}

/// Normalised over the batch, a sample's goodness would hang on the others.
TEST(ForwardForward, RefusesStatisticsOfBatches) {
  Graph g;
  g.name = "normalised";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(6)}));
  const auto vector = [&](const char* name, float value, Role role) {
    Tensor t(DType::f32, {7});
    for (int i = 0; i < 7; ++i) t.mutable_data<float>()[i] = value;
    return g.add_constant(name, t, role);
  };
  const ValueId z = dense(b, labelled(b, x, {6}, 2), "fc1", 6, 7);
  const ValueId y =
      b.one("BatchNormalization",
            {z, vector("bn.weight", 1, Role::kParameter), vector("bn.bias", 0, Role::kParameter),
             vector("bn.mean", 0, Role::kBuffer), vector("bn.var", 1, Role::kBuffer)},
            {}, "bn");
  g.add_output(dense(b, direction(b, b.one("Relu", {y})), "fc2", 7, 2));
  EXPECT_THAT(refusal(g, {5, 6}), HasSubstr("of a whole batch"));
}

}  // namespace
}  // namespace espalier

// Predicted temperatures: the network's form and the robust loss against computations in double,
// what the loss asks of a temperature, and where gradients stop.
#include "train/temperature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "base/log.h"
#include "base/threads.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "passes/differentiate.h"
#include "runtime/session.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/adapter.h"
#include "train/recompute.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::espalier::testing::error_of;
using ::testing::HasSubstr;
using Matrix = std::vector<std::vector<double>>;
const bool kQuiet = (set_quiet(true), true);

Matrix rows_of(const Tensor& t) {
  const int64_t columns = t.shape().back();
  Matrix m(size_t(t.size() / columns));
  for (int64_t i = 0; i < t.size(); ++i) m[size_t(i / columns)].push_back(t.at(i));
  return m;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::vector<double> times(const std::vector<double>& x, const Matrix& w) {
  std::vector<double> y(w[0].size(), 0);
  for (size_t i = 0; i < x.size(); ++i)
    for (size_t o = 0; o < y.size(); ++o) y[o] += x[i] * w[i][o];
  return y;
}

void normalise(std::vector<double>& x) {
  double sum = 0;
  for (double v : x) sum += v * v;
  for (double& v : x) v /= std::sqrt(sum);
}

struct Parameters {
  std::map<std::string, Tensor> values;
  Matrix at(const std::string& name) const { return rows_of(values.at("temperature." + name)); }
};

/// TempNet in plain loops.
double predicted(std::vector<double> x, const Parameters& p, const TemperatureNet& net) {
  const bool logits = net.reads == TemperatureNet::Reads::kLogits;
  if (logits) normalise(x);
  std::vector<double> hidden = times(x, p.at("layer.weight"));
  for (size_t i = 0; i < hidden.size(); ++i)
    hidden[i] = sigmoid(hidden[i] + p.at("layer.bias")[0][i]);
  std::vector<double> likeness, pooled;
  if (logits) {
    likeness = times(hidden, p.at("prototypes.weight"));
    for (size_t i = 0; i < likeness.size(); ++i) likeness[i] += p.at("prototypes.bias")[0][i];
    pooled = likeness;
  } else {
    for (std::vector<double> row : p.at("prototypes.weight")) {
      normalise(row);
      double sum = 0;
      for (size_t i = 0; i < row.size(); ++i) sum += row[i] * hidden[i];
      likeness.push_back(sum);
      pooled.push_back(sigmoid(sum));
    }
  }
  const double scale = std::exp(p.at("scale")[0][0]);
  double total = 0, sum = p.at("head.bias")[0][0];
  for (double l : likeness) total += std::exp(l / scale);
  for (size_t i = 0; i < likeness.size(); ++i)
    sum += p.at("head.weight")[i][0] * pooled[i] *
           (std::exp(likeness[i] / scale) / total - 1 / double(likeness.size()));
  return net.least + (net.most - net.least) * sigmoid(sum);
}

TEST(Temperature, IsWhatTheFormulasGive) {
  for (auto reads : {TemperatureNet::Reads::kLogits, TemperatureNet::Reads::kEmbeddings}) {
    const bool logits = reads == TemperatureNet::Reads::kLogits;
    const TemperatureNet net{reads, 7, 0.2, 3, 0.5};
    Graph g;
    Builder b(g);
    const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2, 3, 5}));
    Parameters p;
    const ValueId t = write_temperature(b, x, net, 3, [&](const std::string& name, Tensor first) {
      // Other values than the first ones, some of which are 0.
      for (int64_t i = 0; i < first.size(); ++i)
        first.mutable_data<float>()[i] += float(0.3 * std::sin(double(i + 1)));
      if (name == "temperature.scale") first = Tensor::from<float>({1}, {-0.7f});
      p.values[name] = first;
      return g.add_constant(name, first, Role::kParameter);
    });
    g.add_output(t);
    EXPECT_EQ(violation(g), "");
    Tensor input = testing::random_tensor({2, 3, 5}, "answers", 2);
    if (!logits)
      for (int64_t r = 0; r < 6; ++r) {
        double sum = 0;
        for (int64_t i = 0; i < 5; ++i) sum += std::pow(input.at(5 * r + i), 2);
        for (int64_t i = 0; i < 5; ++i)
          input.mutable_data<float>()[5 * r + i] /= float(std::sqrt(sum));
      }
    const Tensor got = interpret(g, std::vector<Tensor>{input}).at(0);
    EXPECT_EQ(got.shape(), (Shape{2, 3, 1}));
    const Matrix rows = rows_of(input);
    for (size_t r = 0; r < 6; ++r) {
      EXPECT_NEAR(got.at(int64_t(r)), predicted(rows[r], p, net), 1e-5);
      EXPECT_GT(got.at(int64_t(r)), net.least);
      EXPECT_LT(got.at(int64_t(r)), net.most);
    }
  }
}

/// tau log(1/C sum exp((h_j - h_y) / tau)) + tau rho, as the paper writes it.
double robust(const std::vector<double>& h, size_t y, double tau, double rho) {
  double sum = 0;
  for (double v : h) sum += std::exp((v - h[y]) / tau);
  return tau * std::log(sum / double(h.size())) + tau * rho;
}

double entropy(const std::vector<double>& h, double tau) {
  double sum = 0, result = 0;
  for (double v : h) sum += std::exp(v / tau);
  for (double v : h) result -= std::exp(v / tau) / sum * (v / tau - std::log(sum));
  return result;
}

TEST(RobustLoss, AndItsDerivativesAreThePapers) {
  constexpr double kRho = 0.7;
  Graph g;
  Builder b(g);
  const ValueId h = g.add_input("h", TensorType(DType::f32, Shape{2, 2, 4}));
  const ValueId tau = g.add_input("tau", TensorType(DType::f32, Shape{2, 2, 1}));
  const ValueId labels = g.add_input("labels", TensorType(DType::i64, Shape{2, 2}));
  const ValueId loss = robust_loss(b, b.div(h, tau), tau, labels, kRho);
  const std::vector<ValueId> wrt = {h, tau};
  const std::string name = g.value(loss).name;
  const auto gradients = differentiate(g, loss, wrt);
  g.set_outputs({g.find(name), gradients.at(h), gradients.at(tau)});
  const Tensor x = testing::random_tensor({2, 2, 4}, "logits", 2);
  const std::vector<double> t = {0.5, 1, 1.7, 3};
  const std::vector<int64_t> y = {2, 0, 3, 3};
  const auto out =
      interpret(g, std::vector<Tensor>{x, Tensor::from<float>({2, 2, 1}, {0.5f, 1, 1.7f, 3}),
                                       Tensor::from<int64_t>({2, 2}, {2, 0, 3, 3})});
  const Matrix rows = rows_of(x);
  double mean = 0;
  for (size_t i = 0; i < 4; ++i) {
    mean += robust(rows[i], size_t(y[i]), t[i], kRho) / 4;
    EXPECT_NEAR(out[2].at(int64_t(i)), (entropy(rows[i], t[i]) + kRho - std::log(4.0)) / 4, 1e-5);
    for (size_t c = 0; c < 4; ++c) {
      std::vector<double> up = rows[i], down = rows[i];
      up[c] += 1e-5;
      down[c] -= 1e-5;
      const double slope =
          (robust(up, size_t(y[i]), t[i], kRho) - robust(down, size_t(y[i]), t[i], kRho)) / 2e-5;
      EXPECT_NEAR(out[1].at(int64_t(4 * i + c)), slope / 4, 1e-5);
    }
  }
  EXPECT_NEAR(out[0].at(0), mean, 1e-5);
}

TEST(StopGradient, IsAFactorThatLearnsNothing) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{3}));
  const ValueId y = b.reduce_sum(b.mul(x, b.one("espalier.StopGradient", {x})), {0}, false);
  const std::vector<ValueId> wrt = {x};
  const auto gradients = differentiate(g, y, wrt);
  g.set_outputs({gradients.at(x)});
  const Tensor at = Tensor::from<float>({3}, {1, -2, 4});
  const Tensor got = Session(compile(g)).run({at}).at(0);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(got.at(i), at.at(i));
}

/// Points in three classes, a linear network.
struct Linear {
  Graph network;
  std::shared_ptr<const Dataset> data = testing::blobs(24, 3, 1);
  Linear() {
    network.name = "linear";
    Builder b(network);
    const ValueId x =
        network.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
    network.add_output(b.matmul(x, testing::parameter(network, "w", {2, 3}, 1)));
  }
  AdaptedNetwork tempered(std::vector<std::string> also = {}) const {
    const AdapterSpec spec = {"temperature",
                              {{"width", 6}, {"least", 0.25}, {"most", 4}, {"dropout", 0}},
                              {},
                              std::move(also)};
    return adapted(network, spec, {{2}, data, 4});
  }
};

/// Temperatures of all samples.
std::vector<double> temperatures(Graph g, const Dataset& data) {
  g.set_outputs({g.find(kTemperature)});
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < data.size(); ++i) rows.push_back(i);
  const Tensor t = Model(g).run({data.fetch(rows).inputs}).at(0);
  std::vector<double> all;
  for (int64_t i = 0; i < t.size(); ++i) all.push_back(t.at(i));
  return all;
}

// What the network before it learns: the derivative of the robust loss at temperatures that stay.
TEST(TemperatureAdapter, NothingIsLearnedThroughTheTemperature) {
  const Linear l;
  const AdaptedNetwork a = l.tempered({"w"});
  constexpr double kRho = 0.4;
  StepOptions o;
  o.input = {24, 2};
  o.rho = kRho;
  o.optimizer = {"sgd", {{"momentum", 0}, {"nesterov", 0}}, 0};
  o.trained = a.trained;
  StepSession step(build_training_step(a.graph, o));
  std::vector<int64_t> order;
  for (int64_t i = 0; i < 24; ++i) order.push_back(i);
  const Batch batch = l.data->fetch(order);
  const std::vector<double> tau = temperatures(a.graph, *l.data);
  const Matrix x = rows_of(batch.inputs);
  const Tensor before = step.state("w");
  step.run(batch, 1, 1);
  const Tensor after = step.state("w");
  const auto loss = [&](const Matrix& w) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i)
      sum += robust(times(x[i], w), size_t(batch.targets.at(int64_t(i))), tau[i], kRho);
    return sum / double(x.size());
  };
  for (size_t i = 0; i < 6; ++i) {
    Matrix up = rows_of(before), down = up;
    up[i / 3][i % 3] += 1e-5;
    down[i / 3][i % 3] -= 1e-5;
    EXPECT_NEAR(before.at(int64_t(i)) - after.at(int64_t(i)), (loss(up) - loss(down)) / 2e-5, 2e-5);
  }
}

// What is minimised is another value than the loss that is told.
TEST(TemperatureAdapter, TheForwardPassCanBeComputedAgain) {
  const Linear l;
  const AdaptedNetwork a = l.tempered({"w"});
  StepOptions o;
  o.input = {24, 2};
  o.rho = 0.4;
  o.trained = a.trained;
  const StepGraph built = build_training_step(a.graph, o);
  StepSession kept(built), again(keeping(built, {}));
  std::vector<int64_t> order;
  for (int64_t i = 0; i < 24; ++i) order.push_back(i);
  for (int64_t number = 1; number <= 3; ++number) {
    kept.run(l.data->fetch(order), 0.1, number);
    again.run(l.data->fetch(order), 0.1, number);
  }
  for (const std::string& name : kept.state_names())
    for (int64_t i = 0; i < kept.state(name).size(); ++i)
      EXPECT_NEAR(kept.state(name).at(i), again.state(name).at(i), 1e-5) << name;
}

TrainOptions options(const AdaptedNetwork& a, std::optional<double> rho) {
  TrainOptions o;
  o.epochs = 60;
  o.batch = 8;
  o.optimizer = {"adamw", {}, 0};
  o.schedule.peak = 0.05;
  o.rho = rho;
  o.trained = a.trained;
  return o;
}

// The derivative H + rho - log C: of rho = 0 never above 0, of a rho above log C always.
TEST(TemperatureAdapter, TheRadiusDecidesHowSureAnswersAre) {
  const ThreadScope one_thread(1);
  const Linear l;
  const AdaptedNetwork a = l.tempered();
  const auto after = [&](double rho) {
    Trainer trainer(a.graph, l.data, nullptr, options(a, rho));
    trainer.train();
    EXPECT_TRUE(trainer.network()
                    .value(trainer.network().find("w"))
                    .constant->identical(*l.network.value(l.network.find("w")).constant));
    return temperatures(trainer.network(), *l.data);
  };
  for (double t : after(0)) EXPECT_GT(t, 3.5);
  for (double t : after(1.2)) EXPECT_LT(t, 0.5);
}

TEST(TemperatureAdapter, RunsGoOnWhereTheyStopped) {
  const ThreadScope one_thread(1);
  const auto folder = std::filesystem::temp_directory_path() /
                      ("espalier_temperature_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const Linear l;
  AdapterSpec spec = {"temperature", {{"width", 6}, {"least", 0.25}, {"most", 4}}};  // drops out
  const AdaptedNetwork a = adapted(l.network, spec, {{2}, l.data, 4});
  struct StopAt : TrainHook {
    void after_step(Trainer& t, const StepReport& r) override {
      if (r.step == 7) t.stop();
    }
  } stop;
  TrainOptions o = options(a, 0.5);
  o.epochs = 5;
  const TrainFiles files = {folder, folder / "log"};
  Trainer whole(a.graph, l.data, l.data, o);
  whole.train();
  EXPECT_FALSE(Trainer(a.graph, l.data, l.data, o, files, {&stop}).train().finished);
  Trainer second(a.graph, l.data, l.data, o, files);
  ASSERT_TRUE(second.resume());
  second.train();
  for (const std::string& name : whole.state_names())
    EXPECT_TRUE(second.state(name).identical(whole.state(name))) << name;
  o.rho = 0.75;
  EXPECT_THAT(error_of([&] { Trainer(a.graph, l.data, l.data, o, files).resume(); }),
              HasSubstr("was made with rho=0.5, not rho=0.75"));
  std::filesystem::remove_all(folder);
}

TEST(TemperatureAdapter, SaysWhatItCannotDo) {
  const Linear l;
  const auto error = [&](const AdapterSpec& s) {
    return error_of([&] { adapted(l.network, s, {{2}, l.data, 4}); });
  };
  EXPECT_THAT(error({"temperature", {{"least", 2}, {"most", 1}}}), HasSubstr("a larger one"));
  EXPECT_THAT(error({"temperature", {}, {"w"}}), HasSubstr("has no targets"));
  const AdaptedNetwork a = l.tempered();
  EXPECT_THAT(error_of([&] {
                adapted(a.graph, {"temperature"}, {{2}, l.data, 4});
              }),
              HasSubstr("already"));
  TrainOptions o = options(a, 1);
  o.trained.reset();
  EXPECT_THAT(error_of([&] { Trainer(l.network, l.data, nullptr, o); }),
              HasSubstr("predicts no temperature, which 'rho' is about"));
  o.label_smoothing = 0.1;
  EXPECT_THAT(error_of([&] { Trainer(a.graph, l.data, nullptr, o); }),
              HasSubstr("do not go together"));
}

}  // namespace
}  // namespace espalier

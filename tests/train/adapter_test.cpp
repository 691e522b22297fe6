#include "train/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/threads.h"
#include "ir/verify.h"
#include "runtime/session.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/adapters/activation_svd.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const Dataset> text() { return std::make_shared<testing::CycleText>(96, 11, 6, 3); }

struct Case {
  Graph network;
  std::shared_ptr<const Dataset> data;
  AdapterInput input() const { return {data->sample_shape(), data, 7}; }
};

Case gpt() { return {testing::small_gpt(11, 6, 8), text()}; }
Case cnn() { return {testing::small_cnn(4), testing::corners(64, 1)}; }

Tensor answers(const Graph& g, const Dataset& data) {
  std::vector<int64_t> first(8);
  for (int64_t i = 0; i < 8; ++i) first[size_t(i)] = 5 * i;
  Model model(g);
  return model.run({data.fetch(first).inputs}).at(0);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double largest = 0;
  for (int64_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a.at(i) - b.at(i)));
  return largest;
}

TrainOptions options(const AdaptedNetwork& a) {
  TrainOptions o;
  o.epochs = 3;
  o.batch = 16;
  o.schedule.peak = 0.01;
  o.optimizer = {"adamw", {}, 0};
  o.trained = a.trained;
  return o;
}

using ::espalier::testing::error_of;

struct Use {
  std::string name;
  AdapterSpec spec;
  Case where;
  bool starts_equal = true;
};

std::vector<Use> uses() {
  return {{"lora", {"lora", {{"rank", 2}, {"alpha", 4}}}, gpt()},
          {"lora at one weight", {"lora", {{"rank", 3}}, {"fc1.*"}, {"head.weight"}}, gpt()},
          {"pissa", {.kind = "lora", .settings = {{"rank", 2}}, .start = "weights"}, gpt()},
          {"eva", {.kind = "lora", .settings = {{"rank", 2}}, .start = "activations"}, gpt()},
          {"conv lora", {"lora", {{"rank", 2}}}, cnn()},
          {"conv pissa", {.kind = "lora", .settings = {{"rank", 2}}, .start = "weights"}, cnn()},
          {"square lora", {"lora", {{"rank", 1}, {"square", 1}}}, cnn()},
          {"flora", {"flora", {{"rank", 2}}}, cnn()},
          {"flora of windows", {"flora", {{"rank", 3}, {"window_rank", 2}, {"scale", 2}}}, cnn()},
          {"flora of matrices", {"flora", {{"rank", 2}}}, gpt()},
          {"bias", {"bias"}, gpt()},
          {"channels", {"channels"}, gpt()},
          {"channels of convolutions", {"channels", {{"share", 0.5}}}, cnn()},
          {"bottleneck", {"bottleneck", {{"width", 3}}}, gpt()},
          {"bottleneck behind a convolution", {"bottleneck", {}, {"conv1.weight"}}, cnn()},
          {"prefix", {"prefix", {{"length", 2}}}, gpt(), false},
          {"temperature", {"temperature", {{"width", 8}, {"most", 3}}}, gpt(), false}};
}

TEST(Adapters, BeginWhereTheNetworkIs) {
  const ThreadScope one_thread(1);
  for (const Use& u : uses()) {
    SCOPED_TRACE(u.name);
    const AdaptedNetwork a = adapted(u.where.network, u.spec, u.where.input());
    EXPECT_EQ(violation(a.graph), "");
    const double d = largest_difference(answers(u.where.network, *u.where.data),
                                        answers(a.graph, *u.where.data));
    if (u.starts_equal)
      EXPECT_LT(d, 2e-5);
    else
      EXPECT_GT(d, 1e-4);
  }
}

TEST(Adapters, LearnWhileTheNetworkStaysAndMergeIntoIt) {
  const ThreadScope one_thread(1);
  for (const Use& u : uses()) {
    SCOPED_TRACE(u.name);
    const AdaptedNetwork a = adapted(u.where.network, u.spec, u.where.input());
    TrainOptions o = options(a);
    Trainer trainer(a.graph, u.where.data, nullptr, o);
    const TrainResult result = trainer.train();
    EXPECT_LT(result.history.back().train_loss, result.history.front().train_loss);
    const Graph trained = trainer.network();
    for (ValueId v : a.graph.constants()) {
      const Value& value = a.graph.value(v);
      if (a.trained.contains(value.name)) continue;
      EXPECT_TRUE(value.constant->identical(*trained.value(trained.find(value.name)).constant))
          << value.name;
    }
    const Graph merged = a.merged(trained);
    EXPECT_EQ(violation(merged), "");
    const Tensor before = answers(trained, *u.where.data), after = answers(merged, *u.where.data);
    EXPECT_LT(largest_difference(before, after), 1e-5);
    EXPECT_GT(largest_difference(after, answers(u.where.network, *u.where.data)), 1e-3);
    if (!a.mergeable) continue;
    EXPECT_EQ(merged.order().size(), u.where.network.order().size());
    for (ValueId v : merged.constants())
      EXPECT_NE(u.where.network.find(merged.value(v).name), kNoValue) << merged.value(v).name;
  }
}

TEST(Adapters, RunsGoOnWhereTheyStopped) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("espalier_adapter_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const Case where = gpt();
  const AdapterSpec spec{.kind = "lora", .settings = {{"rank", 2}}, .start = "activations"};
  struct StopAt : TrainHook {
    void after_step(Trainer& t, const StepReport& r) override {
      if (r.step == 7) t.stop();
    }
  } stop;
  const auto made = [&] { return adapted(where.network, spec, where.input()); };
  AdaptedNetwork a = made();
  Trainer whole(a.graph, where.data, where.data, options(a));
  whole.train();
  {
    Trainer first(a.graph, where.data, where.data, options(a), {folder, folder / "log"}, {&stop});
    EXPECT_FALSE(first.train().finished);
  }
  a = made();
  Trainer second(a.graph, where.data, where.data, options(a), {folder, folder / "log"});
  ASSERT_TRUE(second.resume());
  second.train();
  for (const std::string& name : whole.state_names())
    EXPECT_TRUE(second.state(name).identical(whole.state(name))) << name;
  // A base that is another one is refused.
  const AdaptedNetwork other =
      adapted(where.network, {.kind = "lora", .settings = {{"rank", 2}}}, where.input());
  Graph changed = a.graph;
  changed.mutable_value(changed.find("fc1.weight")).constant =
      testing::random_tensor({16, 8}, "another", 1);
  EXPECT_THAT(
      error_of([&] {
        Trainer(changed, where.data, where.data, options(a), {folder, folder / "log"}).resume();
      }),
      HasSubstr("was made with frozen="));
  std::filesystem::remove_all(folder);
}

TEST(Adapters, SayWhatTheyCannotDo) {
  const auto error = [](const Case& c, const AdapterSpec& s) {
    return error_of([&] { adapted(c.network, s, c.input()); });
  };
  EXPECT_THAT(error(gpt(), {"lora", {}, {"fc3.*"}}),
              ::testing::AllOf(HasSubstr("'fc3.*': names no weight that 'lora'"),
                               HasSubstr("the nearest are fc1.weight, fc2.weight")));
  EXPECT_THAT(error(gpt(), {"lora", {}, {}, {"haed*"}}), HasSubstr("head.weight"));
  EXPECT_THAT(error(gpt(), {"lora", {}, {"fc1.*"}, {"fc1.weight"}}),
              HasSubstr("is adapted and trained as well"));
  EXPECT_THAT(error(gpt(), {"lroa"}), HasSubstr("did you mean 'lora'?"));
  EXPECT_THAT(error(gpt(), {"lora", {{"rank", 0}}}), HasSubstr("rank must lie between 1"));
  EXPECT_THAT(error(gpt(), {.kind = "flora", .start = "weights"}), HasSubstr("cannot start as"));
  EXPECT_THAT(error(cnn(), {"prefix"}), HasSubstr("has no attention"));
  EXPECT_THAT(error(cnn(), {"lora", {}, {"conv*"}, {}, "activations"}),
              HasSubstr("has no matrices among its targets"));
}

TEST(Adapters, LeaveOutWhatIsTrainedBesideThem) {
  const Case c = gpt();
  const AdaptedNetwork a = adapted(c.network, {"lora", {{"rank", 2}}, {}, {"head.*"}}, c.input());
  EXPECT_TRUE(a.trained.contains("head.weight"));
  EXPECT_FALSE(a.trained.contains("head.weight.lora_a"));
  EXPECT_TRUE(a.trained.contains("fc1.weight.lora_a"));
}

/// Rows in a plane with more along one axis of it.
TEST(IncrementalSvd, FindsTheDirectionsOfAllRowsTogether) {
  using Matrix = IncrementalSvd::Matrix;
  Matrix basis(2, 6);
  basis << 1, 1, 0, 0, 0, 0, 0, 0, 1, -1, 0, 0;
  basis /= std::sqrt(2.0);
  const Rng rng(3, 1);
  IncrementalSvd svd(3);
  Matrix all(0, 6);
  for (int piece = 0; piece < 5; ++piece) {
    Matrix rows(piece % 2 ? 3 : 20, 6);
    for (int r = 0; r < rows.rows(); ++r) {
      const auto at = uint64_t(piece * 100 + r);
      rows.row(r) =
          5 * rng.normal(2 * at) * basis.row(0) + 1 * rng.normal(2 * at + 1) * basis.row(1);
    }
    svd.add(rows);
    Matrix grown(all.rows() + rows.rows(), 6);
    grown << all, rows;
    all = grown;
  }
  const Eigen::BDCSVD<Eigen::MatrixXd> whole(all, Eigen::ComputeThinV);
  for (int i = 0; i < 2; ++i) {
    EXPECT_NEAR(std::abs(svd.directions().row(i).dot(whole.matrixV().col(i))), 1, 1e-9);
    EXPECT_NEAR(svd.explained(i), std::pow(whole.singularValues()(i), 2) / all.squaredNorm(), 1e-9);
  }
  EXPECT_LT(svd.explained(2), 1e-12);
  EXPECT_GT(svd.steadiness(2), 0.99);
}

/// A layer whose inputs lie in one direction needs one; the rest goes where it explains more.
TEST(Adapters, RanksGoWhereTheyExplainMost) {
  Graph g;
  g.name = "two";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(8)}));
  const ValueId y = b.matmul(x, testing::parameter(g, "wide", {8, 8}, 1));
  Tensor narrow(DType::f32, {8, 8});  // one direction is left
  for (int i = 0; i < 8; ++i) narrow.mutable_data<float>()[8 * i] = 1;
  const ValueId z = b.matmul(y, g.add_constant("narrowing", narrow));
  g.add_output(b.matmul(z, testing::parameter(g, "narrow", {8, 8}, 1)));
  const auto data = testing::dataset(testing::random_tensor({64, 8}, "rows", 1),
                                     Tensor(DType::f32, {64, 8}), 0, "rows");
  const AdaptedNetwork a = adapted(
      g, {.kind = "lora", .settings = {{"rank", 3}}, .start = "activations"}, {{8}, data, 1});
  const auto rank = [&](const std::string& name) {
    return a.graph.value(a.graph.find(name + ".lora_a")).tensor().shape()[1];
  };
  EXPECT_EQ(rank("wide"), 5);
  EXPECT_EQ(rank("narrow"), 1);
}

}  // namespace
}  // namespace espalier

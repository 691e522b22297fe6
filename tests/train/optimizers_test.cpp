// Optimisers with subspaces and preconditioners, some steps against the same in plain doubles; what
// they keep, how they resume, and what they refuse.
#include "train/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/rng.h"
#include "ir/verify.h"
#include "kernels/preconditioner.h"
#include "tests/train/networks.h"
#include "tests/train/plain_matrices.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::leading;
using testing::Plain;
using testing::plain_eigen;
using testing::plain_q;

const bool kQuiet = (set_quiet(true), true);
constexpr uint64_t kSeed = 11;
constexpr double kRate = 0.02, kDecay = 0.1;
constexpr int64_t kBatch = 8;

/// y = x first second, with weights [in, hidden] and [hidden, out].
struct Sides {
  int64_t in = 6, hidden = 4, out = 5;
  Tensor x() const { return testing::random_tensor({kBatch, in}, "x", 1); }
  Tensor y() const { return testing::random_tensor({kBatch, out}, "y", 1); }
};

/// `scaled` multiplies y by a parameter that is no weight.
Graph two_layers(const Sides& sides, bool scaled) {
  Graph g;
  g.name = "two_layers";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(sides.in)}));
  x = b.matmul(x, testing::parameter(g, "first", {sides.in, sides.hidden}, 0.4));
  x = b.matmul(x, testing::parameter(g, "second", {sides.hidden, sides.out}, 0.4));
  if (scaled) x = b.mul(x, testing::parameter(g, "scale", {1, sides.out}, 1));
  g.add_output(x);
  return g;
}

StepSession session_of(const Optimizer& optimizer, bool scaled = false, const Sides& sides = {}) {
  StepOptions o;
  o.input = {kBatch, sides.in};
  o.loss = Loss::kMeanSquared;
  o.optimizer = optimizer;
  o.seed = kSeed;
  StepGraph step = build_training_step(two_layers(sides, scaled), o);
  EXPECT_EQ(violation(step.graph), "");
  return StepSession(std::move(step));
}

/// Both weights and their gradients, in double.
struct Weights {
  Sides sides;
  Plain first, second;
  explicit Weights(const Sides& s = {})
      : sides(s),
        first(testing::random_tensor({s.in, s.hidden}, "first", 0.4)),
        second(testing::random_tensor({s.hidden, s.out}, "second", 0.4)) {}

  std::pair<Plain, Plain> gradients() const {
    const Plain x(sides.x()), hidden = x * first;
    const Plain dy = (hidden * second - Plain(sides.y())).times(2.0 / double(kBatch * sides.out));
    return {x.transposed() * dy * second.transposed(), hidden.transposed() * dy};
  }
};

/// How one weight moves: its value and gradient and the step's number; returns the update, to be
/// taken times the rate.
using Rule = std::function<Plain(const Plain& value, const Plain& gradient, int64_t t)>;

void expect_steps(const Optimizer& optimizer, Rule of_first, Rule of_second, int64_t steps = 9,
                  const Sides& sides = {}) {
  StepSession session = session_of(optimizer, false, sides);
  const Weights before(sides);
  Weights w = before;
  for (int64_t t = 1; t <= steps; ++t) {
    session.run({sides.x(), sides.y()}, kRate, t);
    const auto [g1, g2] = w.gradients();
    const Plain u1 = of_first(w.first, g1, t), u2 = of_second(w.second, g2, t);
    w.first = w.first - u1.times(kRate);
    w.second = w.second - u2.times(kRate);
    for (const auto& [name, want] : {std::pair("first", w.first), std::pair("second", w.second)}) {
      const Plain got(session.state(name));
      for (size_t i = 0; i < want.v.size(); ++i)
        ASSERT_NEAR(got.v[i], want.v[i], 2e-4) << name << " element " << i << " step " << t;
    }
  }
  // The weights went somewhere.
  EXPECT_GT((w.first - before.first).norm(), 5 * kRate);
}

struct PlainAdam {
  double beta1, beta2;
  Plain m = {}, v = {};
  Plain operator()(const Plain& g, int64_t t) {
    if (m.v.empty()) m = v = Plain(g.rows, g.columns);
    m = m.times(beta1) + g.times(1 - beta1);
    v = v.times(beta2) + g.map([](double x) { return x * x; }).times(1 - beta2);
    return m.map(v, [&](double a, double b) {
      return a / (1 - std::pow(beta1, double(t))) /
             (std::sqrt(b / (1 - std::pow(beta2, double(t)))) + 1e-8);
    });
  }
  void forget() { m = v = Plain(); }
};

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

/// Algorithm 3 of SOAP; a side without a basis stays as it is.
struct PlainSoap {
  bool has_left = true, has_right = true;
  /// Elements of a rotated gradient are as small as rounding: they must not count.
  static constexpr double kEpsilon = 1e-3;
  int64_t every = 3;
  Plain m = {}, v = {}, left = {}, right = {}, ql = {}, qr = {};

  Plain turned(Plain x, bool back) const {
    if (has_left) x = (back ? ql : ql.transposed()) * x;
    if (has_right) x = x * (back ? qr.transposed() : qr);
    return x;
  }
  Plain operator()(const Plain& value, const Plain& g, int64_t t) {
    constexpr double kBeta = 0.95;
    Plain update(g.rows, g.columns);
    if (t == 1) {
      m = v = update;
      left = Plain(g.rows, g.rows);
      right = Plain(g.columns, g.columns);
    }
    m = m.times(kBeta) + g.times(1 - kBeta);
    if (t > 1) {
      const Plain turned_g = turned(g, false);
      v = v.times(kBeta) + turned_g.map([](double x) { return x * x; }).times(1 - kBeta);
      const Plain direction = turned(m, false).map(v, [&](double a, double b) {
        return a / (1 - std::pow(kBeta, double(t))) /
               (std::sqrt(b / (1 - std::pow(kBeta, double(t - 1)))) + kEpsilon);
      });
      update = turned(direction, true);
    }
    left = left.times(kBeta) + (g * g.transposed()).times(1 - kBeta);
    right = right.times(kBeta) + (g.transposed() * g).times(1 - kBeta);
    if (t == 1) {
      ql = plain_eigen(left).second;
      qr = plain_eigen(right).second;
    } else if (t % every == 0) {
      ql = plain_q(left * ql);
      qr = plain_q(right * qr);
    }
    return update + value.times(kDecay);
  }
};

TEST(Optimizers, SoapIsAdamInTheEigenbasis) {
  const Optimizer soap{"soap", {{"every", 3}, {"epsilon", PlainSoap::kEpsilon}}, kDecay};
  // All moments have full rank: only then is the basis the same whoever finds it.
  expect_steps(soap, PlainSoap(), PlainSoap(), 9, {4, 4, 4});
}

TEST(Optimizers, SoapLeavesLongSidesAlone) {
  const Optimizer soap{
      "soap", {{"every", 3}, {"max_side", 4}, {"epsilon", PlainSoap::kEpsilon}}, kDecay};
  expect_steps(soap, PlainSoap{.has_left = false}, PlainSoap{.has_right = false});
  // Without any side it is AdamW.
  PlainAdam a{0.95, 0.95}, b{0.95, 0.95};
  const auto adamw = [](PlainAdam& adam) {
    return [&adam](const Plain& value, const Plain& g, int64_t t) {
      return adam(g, t) + value.times(kDecay);
    };
  };
  expect_steps({"soap", {{"max_side", 3}}, kDecay}, adamw(a), adamw(b));
}

struct PlainShampoo {
  bool has_left = true, has_right = true;
  double power = 0.25;
  PlainAdam adam{0.95, 0.95};
  Plain left = {}, right = {}, root_left = {}, root_right = {};

  static Plain root(const Plain& moment, double power) {
    const auto [values, q] = plain_eigen(moment);
    Plain scale(moment.rows, moment.rows);
    for (int64_t i = 0; i < moment.rows; ++i)
      scale.at(i, i) = std::pow(std::max(values.at(i, 0), 1e-3 * values.at(0, 0)), -power);
    return q * scale * q.transposed();
  }
  Plain operator()(const Plain& value, const Plain& g, int64_t t) {
    constexpr double kBeta = 0.95;
    if (t == 1) {
      left = Plain(g.rows, g.rows);
      right = Plain(g.columns, g.columns);
    }
    const double length = adam(g, t).norm();
    left = left.times(kBeta) + (g * g.transposed()).times(1 - kBeta);
    right = right.times(kBeta) + (g.transposed() * g).times(1 - kBeta);
    if (t == 1 || t % 2 == 0) {
      root_left = root(left, power);
      root_right = root(right, power);
    }
    Plain direction = adam.m;
    if (has_left) direction = root_left * direction;
    if (has_right) direction = direction * root_right;
    return direction.times(length / direction.norm()) + value.times(kDecay);
  }
};

TEST(Optimizers, ShampooTakesInverseRootsAndTheLengthOfAdam) {
  const std::map<std::string, double> settings = {{"every", 2}, {"floor", 1e-3}};
  expect_steps({"shampoo", settings, kDecay}, PlainShampoo(), PlainShampoo());
  auto short_sides = settings;
  short_sides["max_side"] = 4;
  expect_steps({"shampoo", short_sides, kDecay}, PlainShampoo{.has_left = false, .power = 0.5},
               PlainShampoo{.has_right = false, .power = 0.5});
}

uint64_t seed_of(const std::string& name) {
  return Rng(kSeed, stream_of(name + ":part")).bits(0) >> 1;
}

/// FRUGAL with rows of a quarter and a half.
struct PlainRows {
  std::string name;
  int64_t count;
  PlainAdam adam{0.9, 0.999};
  Plain operator()(const Plain& value, const Plain& g, int64_t t) {
    constexpr int64_t kEvery = 3;
    if ((t - 1) % kEvery == 0) adam.forget();
    const auto chosen = kernels::turn(g.rows, count, seed_of(name), (t - 1) / kEvery);
    Plain part(count, g.columns);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < g.columns; ++j) part.at(i, j) = g.at(chosen[size_t(i)], j);
    const Plain moved = adam(part, (t - 1) % kEvery + 1);
    Plain update = g.map([](double x) { return 0.5 * sign(x); });
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < g.columns; ++j) update.at(chosen[size_t(i)], j) = moved.at(i, j);
    return update + value.times(kDecay);
  }
};

TEST(Optimizers, FrugalOnRowsHasStateForThoseOfThePeriod) {
  const Optimizer rows{
      "frugal", {{"part", 1}, {"density", 0.5}, {"every", 3}, {"rest_rate", 0.5}}, kDecay};
  expect_steps(rows, PlainRows{"first", 3}, PlainRows{"second", 2});
}

/// FRUGAL and GaLore in directions of the shorter side; `rank` of them.
struct PlainDirections {
  int64_t rank;
  bool galore;
  uint64_t seed = 0;  ///< random directions where not 0
  PlainAdam adam{0.9, 0.999};
  Plain space = {};
  Plain operator()(const Plain& value, const Plain& g, int64_t t) {
    constexpr int64_t kEvery = 3;
    const bool right = g.columns < g.rows, begins = (t - 1) % kEvery == 0;
    const Plain across = right ? g.transposed() : g;  // the shorter side first
    if (begins) {
      space = leading(plain_eigen(across * across.transposed()).second, rank);
      for (int64_t k = 0; k < rank; ++k) {  // the largest element is positive
        double largest = 0;
        for (int64_t i = 0; i < space.rows; ++i)
          if (std::abs(space.at(i, k)) > std::abs(largest)) largest = space.at(i, k);
        for (int64_t i = 0; i < space.rows; ++i)
          if (largest < 0) space.at(i, k) *= -1;
      }
      if (seed)
        kernels::random_directions(across.rows, rank, seed, uint64_t((t - 1) / kEvery), space.v);
      if (!galore) adam.forget();
    }
    const Plain low = space.transposed() * across;
    Plain update = space * adam(low, galore ? t : (t - 1) % kEvery + 1);
    if (galore) update = update.times(0.5);
    if (!galore) update = update + (across - space * low).map(sign);
    return (right ? update.transposed() : update) + value.times(kDecay);
  }
};

TEST(Optimizers, FrugalInLeadingDirectionsSignsWhatTheyLeave) {
  // Of [6, 4], half of 2 * 24 numbers hold one direction: 4 + 2 * 6; of [4, 5] one: 4 + 2 * 5.
  const Optimizer svd{"frugal", {{"part", 3}, {"density", 0.5}, {"every", 3}}, kDecay};
  expect_steps(svd, PlainDirections{1, false}, PlainDirections{1, false}, 6);
}

TEST(Optimizers, FrugalInRandomDirections) {
  const Optimizer random{"frugal", {{"part", 2}, {"density", 0.7}, {"every", 3}}, kDecay};
  expect_steps(random, PlainDirections{2, false, seed_of("first")},
               PlainDirections{2, false, seed_of("second")}, 7);
}

TEST(Optimizers, GaloreKeepsItsMomentsWhenDirectionsChange) {
  const Optimizer galore{"galore", {{"density", 0.5}, {"every", 3}, {"scale", 0.5}}, kDecay};
  expect_steps(galore, PlainDirections{1, true}, PlainDirections{1, true}, 6);
}

/// Both weights laid end to end: 44 numbers in four runs of 11.
struct PlainBlocks {
  bool rests;
  PlainAdam adam{0.9, 0.999};
  /// The update of 44 numbers.
  Plain operator()(const Plain& values, const Plain& g, int64_t t) {
    constexpr int64_t kEvery = 2, kLength = 11;
    if ((t - 1) % kEvery == 0) adam.forget();
    const int64_t block = kernels::turn(4, 1, seed_of("first"), (t - 1) / kEvery)[0];
    Plain part(kLength, 1);
    for (int64_t i = 0; i < kLength; ++i) part.v[size_t(i)] = g.v[size_t(block * kLength + i)];
    const Plain moved = adam(part, (t - 1) % kEvery + 1);
    Plain update = rests ? Plain(44, 1) : g.map(sign) + values.times(kDecay);
    for (int64_t i = 0; i < kLength; ++i) {
      const auto at = size_t(block * kLength + i);
      update.v[at] = moved.v[size_t(i)] + kDecay * values.v[at];
    }
    return update;
  }
};

void expect_block_steps(const Optimizer& optimizer, bool rests) {
  PlainBlocks blocks{rests};
  Weights w;
  StepSession session = session_of(optimizer);
  for (int64_t t = 1; t <= 10; ++t) {
    session.run({w.sides.x(), w.sides.y()}, kRate, t);
    const auto [g1, g2] = w.gradients();
    const auto joined = [](const Plain& a, const Plain& b) {
      Plain c(44, 1);
      std::ranges::copy(a.v, c.v.begin());
      std::ranges::copy(b.v, c.v.begin() + 24);
      return c;
    };
    const Plain now = joined(w.first, w.second),
                next = now - blocks(now, joined(g1, g2), t).times(kRate);
    std::copy_n(next.v.begin(), 24, w.first.v.begin());
    std::copy_n(next.v.begin() + 24, 20, w.second.v.begin());
    const Plain got = joined(Plain(session.state("first")), Plain(session.state("second")));
    for (size_t i = 0; i < 44; ++i) ASSERT_NEAR(got.v[i], next.v[i], 2e-4) << i << " step " << t;
  }
}

TEST(Optimizers, FrugalOnBlocksSignsAllOthers) {
  expect_block_steps({"frugal", {{"every", 2}}, kDecay}, false);
}

TEST(Optimizers, BadamLetsAllOthersRest) {
  expect_block_steps({"badam", {{"every", 2}}, kDecay}, true);
}

TEST(Optimizers, SignsgdAndFrugalWithoutStateFollowSigns) {
  const Rule signs = [](const Plain& value, const Plain& g, int64_t) {
    return g.map(sign) + value.times(kDecay);
  };
  expect_steps({"signsgd", {}, kDecay}, signs, signs);
  expect_steps({"frugal", {{"density", 0}}, kDecay}, signs, signs);
  const Rule plain = [](const Plain& value, const Plain& g, int64_t) {
    return g.times(30) + value.times(kDecay);
  };
  expect_steps({"frugal", {{"density", 0}, {"rest", 1}, {"rest_rate", 30}}, kDecay}, plain, plain);
}

TEST(Optimizers, OnlyWeightsOfProductsAreSplit) {
  const int64_t whole = session_of({"adamw", {}, 0}, true).graph().optimizer_bytes;
  EXPECT_EQ(whole, 2 * 4 * (24 + 20 + 5));
  // The scale keeps Adam's state under any density.
  StepSession none = session_of({"frugal", {{"density", 0}}, 0}, true);
  EXPECT_EQ(none.graph().optimizer_bytes, 2 * 4 * 5);
  EXPECT_FALSE(none.graph().parameters.back().only_multiplied);
  EXPECT_TRUE(none.graph().parameters.front().only_multiplied);
  for (const char* kind : {"frugal", "badam"}) {
    const StepSession quarter = session_of({kind, {{"density", 0.25}}, 0}, true);
    EXPECT_EQ(quarter.graph().optimizer_bytes, 2 * 4 * (11 + 5)) << kind;
    // The states the session holds are all there are.
    int64_t held = 0;
    for (const std::string& name : quarter.state_names())
      held += int64_t(quarter.state(name).bytes());
    EXPECT_EQ(held, 4 * (24 + 20 + 5) + quarter.graph().optimizer_bytes) << kind;
  }
  // One direction: 4 + 2 * 6 and 4 + 2 * 5.
  EXPECT_EQ(session_of({"galore", {{"density", 0.5}}, 0}, true).graph().optimizer_bytes,
            4 * (16 + 14 + 2 * 5));
}

struct StopAfter : TrainHook {
  int64_t at;
  explicit StopAfter(int64_t step) : at(step) {}
  void after_step(Trainer& t, const StepReport& r) override {
    if (r.step + 1 == at) t.stop();
  }
};

TEST(Optimizers, ResumeBitIdentically) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::temp_directory_path() / ("espalier_optimizers_" + std::to_string(::getpid()));
  const std::vector<Optimizer> all = {
      {"soap", {{"every", 3}}, 0.1},
      {"shampoo", {{"every", 3}}, 0.1},
      {"frugal", {{"every", 4}}, 0.1},
      {"frugal", {{"every", 4}, {"part", 1}}, 0.1},
      {"frugal", {{"every", 4}, {"part", 2}, {"density", 0.6}}, 0.1},
      {"galore", {{"every", 4}, {"density", 0.6}}, 0.1},
      {"badam", {{"every", 4}}, 0.1},
      {"signsgd", {}, 0.1}};
  const auto data = testing::blobs(64, 4, 1);
  for (const Optimizer& optimizer : all) {
    SCOPED_TRACE(optimizer.text());
    TrainOptions o;
    o.epochs = 3;
    o.batch = 8;
    o.seed = 3;
    o.schedule.peak = 0.01;
    o.optimizer = optimizer;
    Trainer whole(testing::mlp(2, 8, 4), data, nullptr, o);
    whole.train();
    for (const int64_t at : {5, 12}) {
      const TrainFiles files = {folder / "checkpoints", {}};
      StopAfter stop(at);
      EXPECT_FALSE(
          Trainer(testing::mlp(2, 8, 4), data, nullptr, o, files, {&stop}).train().finished);
      Trainer second(testing::mlp(2, 8, 4), data, nullptr, o, files);
      ASSERT_TRUE(second.resume());
      EXPECT_TRUE(second.train().finished);
      for (const std::string& name : whole.state_names())
        EXPECT_TRUE(second.state(name).identical(whole.state(name))) << name << " from " << at;
      fs::remove_all(folder);
    }
  }
}

std::string refusal(const Optimizer& o) {
  try {
    o.check("optimizer");
  } catch (const UserError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Optimizers, SettingsThatCannotBeAreRefused) {
  EXPECT_THAT(refusal({"soap", {{"every", 0}}, 0}), HasSubstr("every must lie between 1"));
  EXPECT_THAT(refusal({"soap", {{"every", 2.5}}, 0}), HasSubstr("every must be a whole number"));
  EXPECT_THAT(refusal({"shampoo", {{"power", 0}}, 0}), HasSubstr("power must lie between"));
  EXPECT_THAT(refusal({"frugal", {{"density", 1.5}}, 0}),
              HasSubstr("density must lie between 0 and 1"));
  EXPECT_THAT(refusal({"badam", {{"density", 0}}, 0}), HasSubstr("density must lie between 0.001"));
  EXPECT_THAT(refusal({"frugal", {{"part", 4}}, 0}), HasSubstr("part must lie between 0 and 3"));
  EXPECT_THAT(refusal({"signsgd", {{"beta1", 0.9}}, 0}), HasSubstr("has no setting 'beta1'"));
}

}  // namespace
}  // namespace espalier

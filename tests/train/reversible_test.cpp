// Reversible blocks: the gradients of what is kept, from what follows from the ends of chains.
#include "train/reversible.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "ir/verify.h"
#include "tests/support/networks.h"
#include "train/recompute.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Writer : testing::NetworkWriter {
  using NetworkWriter::NetworkWriter;
  ValueId input(int64_t size = 8) {
    return graph.add_input(
        "x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(3), Dim(size), Dim(size)}));
  }
  /// Normalised, smooth, with something drawn: all that has to be right when computed again.
  ValueId term(ValueId x, const std::string& name, bool drops = false) {
    const int64_t c = b.type(x).dims[1].value();
    ValueId y = b.one("Gelu", {batch_norm(conv(x, 3 * c, 1, name + ".in"), name + ".norm")});
    if (drops) y = b.op("Dropout", {y, b.constant(Tensor::scalar(0.3f))})[0];
    return conv(y, c, 3, name + ".out");
  }
  Values halves(ValueId x, int64_t half) {
    return b.op("Split", {x, b.ints({half, half})}, {{"axis", int64_t{1}}});
  }
  ValueId named_add(ValueId a, ValueId c, const std::string& name) {
    return b.op("Add", {a, c}, {}, "", {name})[0];
  }
  Graph classified(ValueId x) {
    const ValueId pooled = b.one("Flatten", {b.one("GlobalAveragePool", {x})});
    return finish(linear(pooled, 5, "fc"));
  }
};

/// A chain of blocks between a stem of some layers and a classifier.
Graph chain(int64_t blocks, int64_t width = 4, bool drops = false, int64_t layers = 0) {
  Writer w("chain");
  ValueId stem = w.conv(w.input(), 2 * width, 3, "stem");
  for (int64_t i = 0; i < layers; ++i)
    stem = w.b.one("Gelu", {w.conv(stem, 2 * width, 3, "stem" + std::to_string(i))});
  Values x = w.halves(stem, width);
  for (int64_t i = 0; i < blocks; ++i) {
    const std::string n = std::to_string(i);
    x[0] = w.named_add(x[0], w.term(x[1], "f" + n, drops), "one" + n);
    x[1] = w.named_add(w.term(x[0], "g" + n, drops), x[1], "two" + n);
  }
  return w.classified(w.b.one("Concat", x, {{"axis", int64_t{1}}}));
}

StepOptions options(int64_t batch, int64_t size = 8) {
  StepOptions o;
  o.input = {batch, 3, size, size};
  o.optimizer = {"sgd", {{"momentum", 0.9}}, 0};
  return o;
}

StepGraph step_of(const Graph& network, int64_t batch = 4) {
  return build_training_step(network, options(batch));
}

/// With all gradients among its outputs.
StepGraph told_step_of(const Graph& network, int64_t batch = 4) {
  const StepExtension told{[](StepGraph& s) {
                             Builder b(s.graph);
                             for (const StepParameter& p : s.parameters)
                               s.add_output(p.name + ":gradient", b.one("Identity", {p.gradient}));
                           },
                           {}};
  return build_training_step(network, options(batch), {&told, 1});
}

Batch batch_of(const StepGraph& s, uint64_t seed) {
  const Rng rng(seed, 1);
  Batch b;
  b.inputs = Tensor(DType::f32, s.graph.value(s.input).tensor().shape());
  b.targets = Tensor(DType::i64, s.graph.value(s.targets).tensor().shape());
  for (int64_t i = 0; i < b.inputs.size(); ++i)
    b.inputs.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
  for (int64_t i = 0; i < b.targets.size(); ++i)
    b.targets.mutable_data<int64_t>()[i] = int64_t(rng.bits(uint64_t(1000 + i)) % 5);
  return b;
}

double relative(const Tensor& a, const Tensor& b) {
  double difference = 0, norm = 1e-12;
  for (int64_t i = 0; i < a.size(); ++i) {
    difference += std::pow(a.at(i) - b.at(i), 2);
    norm += std::pow(a.at(i), 2);
  }
  return std::sqrt(difference / norm);
}

/// The largest relative distance of any parameter's gradients, and, after three steps, of any
/// state: parameters, moments, running statistics.
void expect_same(const StepGraph& a, const StepGraph& b) {
  StepSession one(a), other(b);
  for (uint64_t k = 0; k < 3; ++k) {
    one.run(batch_of(a, k), 0.01, int64_t(k) + 1);
    other.run(batch_of(b, k), 0.01, int64_t(k) + 1);
    for (const StepParameter& p : a.parameters)
      EXPECT_LT(relative(one.output(p.name + ":gradient"), other.output(p.name + ":gradient")),
                1e-4)
          << p.name << " in step " << k;
  }
  for (const std::string& name : one.state_names())
    EXPECT_LT(relative(one.state(name), other.state(name)), 1e-5) << name;
}

TEST(Reversible, ChainsAreFoundByWhatDependsOnWhat) {
  const std::vector<Coupling> found = couplings(step_of(chain(2)));
  ASSERT_THAT(found, SizeIs(4));
  EXPECT_EQ(found[0].sum, "one0");
  EXPECT_EQ(found[0].partner, found[1].stream);
  EXPECT_EQ(found[1].sum, "two0");
  EXPECT_EQ(found[1].partner, "one0");
  EXPECT_EQ(found[2].sum, "one1");
  EXPECT_EQ(found[2].stream, "one0");
  EXPECT_EQ(found[2].partner, "two0");
  EXPECT_EQ(found[3].sum, "two1");
  EXPECT_EQ(found[3].stream, "two0");
}

TEST(Reversible, GradientsAreThoseOfTheStepThatKeeps) {
  for (const bool drops : {false, true}) {
    const StepGraph s = told_step_of(chain(6, 4, drops));
    const ReversibleStep r = reversible(s);
    EXPECT_EQ(violation(r.step.graph), "");
    EXPECT_EQ(r.couplings, 12);
    expect_same(s, r.step);
  }
}

TEST(Reversible, NothingInsideChainsIsKept) {
  constexpr int64_t kStream = 4 * 4 * 8 * 8 * 4;  // bytes
  const auto saved = [](const StepGraph& s) {
    std::vector<std::string> large;
    for (const SavedValue& v : saved_values(s))
      if (v.bytes >= kStream) large.push_back(v.name);
    return large;
  };
  const StepGraph s = step_of(chain(5));
  EXPECT_GT(saved(s).size(), 30u);
  const ReversibleStep r = reversible(s);
  EXPECT_THAT(saved(r.step), ElementsAre("one4", "two4"));
  EXPECT_LT(10 * r.saved, r.saved_before);
}

TEST(Reversible, MemoryDoesNotGrowWithDepth) {
  const auto arena = [](int64_t blocks, bool inverted) {
    const StepGraph s = build_training_step(chain(blocks, 8), options(8, 8));
    return double(StepSession(inverted ? reversible(s).step : s).memory().arena);
  };
  const double grows = arena(8, false) - arena(4, false);
  EXPECT_LT(arena(8, true) - arena(4, true), 0.05 * grows);
  EXPECT_LT(2 * arena(8, true), arena(8, false));
}

/// Of three couplings two streams' ends are sums of different blocks; inside a function there are
/// additions as well.
TEST(Reversible, ChainsMayEndInHalfABlock) {
  Writer w("half");
  Values x = w.halves(w.conv(w.input(), 8, 3, "stem"), 4);
  const auto residual = [&](ValueId v, const std::string& name) {
    const ValueId t = w.term(v, name);
    return w.term(w.b.add(w.b.one("Gelu", {t}), v), name + "+");
  };
  x[0] = w.named_add(x[0], residual(x[1], "a"), "sum_a");
  x[1] = w.named_add(x[1], residual(x[0], "b"), "sum_b");
  x[0] = w.named_add(x[0], residual(x[1], "c"), "sum_c");
  const StepGraph s = told_step_of(w.classified(w.b.one("Concat", x, {{"axis", int64_t{1}}})));
  std::vector<std::string> streams;
  for (const Coupling& c : couplings(s)) streams.push_back(c.sum);
  EXPECT_THAT(streams, ElementsAre("sum_a", "sum_b", "sum_c"));
  expect_same(s, reversible(s).step);
}

TEST(Reversible, OtherAdditionsAreNone) {
  EXPECT_THAT(couplings(step_of(testing::residual())), IsEmpty());
  EXPECT_THAT(couplings(step_of(testing::depthwise())), IsEmpty());
  // The second term reads both streams.
  Writer w("both");
  Values x = w.halves(w.conv(w.input(), 8, 3, "stem"), 4);
  const ValueId y1 = w.b.add(x[0], w.term(x[1], "f"));
  const ValueId y2 = w.b.add(x[1], w.term(w.b.mul(y1, x[1]), "g"));
  EXPECT_THAT(couplings(step_of(w.classified(w.b.one("Concat", {y1, y2}, {{"axis", int64_t{1}}})))),
              IsEmpty());
  // The skip of a U-Net around a chain: what was added follows from the sum, but through itself.
  Writer u("skip");
  const ValueId e = u.b.one("Gelu", {u.conv(u.input(), 4, 3, "stem")});
  const ValueId up = u.b.one("Gelu", {u.conv(u.b.one("Gelu", {u.conv(e, 4, 3, "in")}), 4, 3, "o")});
  EXPECT_THAT(couplings(step_of(u.classified(u.conv(u.b.add(e, up), 4, 3, "last")))), IsEmpty());
}

/// Of two additions that could be inverted, one needs what is inside the other's function.
TEST(Reversible, NothingFollowsFromItself) {
  Writer w("knot");
  const ValueId x = w.conv(w.input(), 4, 3, "stem");
  const ValueId a = w.term(x, "a");
  const ValueId stream = w.named_add(a, w.term(x, "b"), "stream");
  const ValueId sum = w.named_add(stream, w.term(a, "h"), "sum");
  const std::string inside = w.graph.value(a).name;
  const ValueId last = w.named_add(x, w.term(sum, "t"), "last");
  const ValueId side = w.term(stream, "side");
  const StepGraph s =
      told_step_of(w.classified(w.b.one("Concat", {last, sum, side}, {{"axis", int64_t{1}}})));
  for (const Coupling& c : couplings(s)) EXPECT_NE(c.stream, inside);
  expect_same(s, reversible(s).step);
}

TEST(Reversible, FitsALimitOfMemoryBesides) {
  const StepGraph s = build_training_step(chain(4, 8, true, 12), options(8, 8));
  const StepGraph r = reversible(s).step;
  const int64_t limit = StepSession(r).memory().total() * 4 / 5;
  const FittedStep f = within_memory(r, limit);
  EXPECT_LE(f.memory.total(), limit);
  EXPECT_GT(f.again, 0);
  StepSession one(s), other(f.step);
  for (int64_t k = 0; k < 2; ++k) {
    one.run(batch_of(s, uint64_t(k)), 0.01, k + 1);
    other.run(batch_of(s, uint64_t(k)), 0.01, k + 1);
  }
  for (const std::string& name : one.state_names())
    EXPECT_LT(relative(one.state(name), other.state(name)), 1e-4) << name;
}

}  // namespace
}  // namespace espalier

// Tuning a network: what is measured, what is decided, and that results stay what they were.
#include "runtime/tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/threads.h"
#include "ir/builder.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/space.h"
#include "runtime/machine.h"
#include "runtime/random_input.h"
#include "runtime/session.h"
#include "runtime/tuning_session.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::Contains;
using ::testing::StartsWith;

/// Two layers of the same extents, one with a bias and a function after it, and a product of two
/// values.
Graph small_network() {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{20, 24}));
  const Rng rng(3, 1);
  const auto weight = [&](const Shape& shape, uint64_t key) {
    return b.constant(random_input(TensorType(DType::f32, shape), rng.fork(key)));
  };
  const ValueId h = b.one("Relu", {b.add(b.matmul(x, weight({24, 40}, 0)), weight({40}, 1))});
  const ValueId y = b.matmul(h, weight({40, 24}, 2));
  const ValueId z = b.matmul(b.matmul(y, weight({24, 20}, 3)), y);
  g.add_output(z);
  return g;
}

/// Generated code everywhere.
class Always : public KernelChoices {
 public:
  std::optional<kernels::GemmTile> tile_for(const kernels::GemmProblem&) const override {
    return kernels::GemmTile{.rows = 2, .vectors = 2};
  }
};

/// Instructions that run on code generated for a family: "jit.matmul".
int count_of(const std::string& family, const Graph& g, const CompileOptions& options) {
  const auto program = compile(g, options);
  int count = 0;
  for (const InstructionInfo& i : program->instructions())
    count += i.kernel.starts_with(family) ? 1 : 0;
  return count;
}

std::vector<Tensor> inputs_of(const Program& p) {
  std::vector<Tensor> inputs;
  for (const TensorType& t : p.input_types())
    inputs.push_back(random_input(t, Rng(5, 1).fork(inputs.size())));
  return inputs;
}

Tensor run(const Graph& g, const CompileOptions& options) {
  Session session(compile(g, options));
  return session.run(inputs_of(session.program()))[0];
}

class Tuning : public ::testing::Test {
 protected:
  void SetUp() override {
    machine_id(1);  // limits of the instruction set count
    if (!kernels::no_generated_kernels().empty()) GTEST_SKIP() << kernels::no_generated_kernels();
  }
  static TuneOptions quick() {
    TuneOptions o;
    o.seconds = 0;
    o.seconds_per_tile = 1e-5;
    return o;
  }
};

TEST_F(Tuning, FindsTheProductsOfANetwork) {
  const auto products = network_products(small_network(), {.threads = 1});
  ASSERT_EQ(products.size(), 4u);
  EXPECT_EQ(products[0].uses, 1);
  for (size_t i = 1; i < products.size(); ++i)
    EXPECT_GE(products[i - 1].work(), products[i].work());
  std::vector<std::string> texts;
  for (const auto& p : products) texts.push_back(p.problem.text());
  EXPECT_THAT(texts, Contains(StartsWith("20x40x24 bias f")));
  EXPECT_THAT(texts, Contains("20x24x20 b24"));  // of two values
}

TEST_F(Tuning, ConvolutionsOfOnePixelAreProducts) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2, 20, 5, 7}));
  const auto conv = [&](const Shape& weight, ValueId of) {
    const Tensor w = random_input(TensorType(DType::f32, weight), Rng(4, 1).fork(weight.size()));
    return b.one("Relu", {b.one("Conv", {of, b.constant(w)})});
  };
  g.add_output(conv({18, 36, 3, 3}, conv({36, 20, 1, 1}, x)));
  const auto products = network_products(g, {.threads = 1});
  ASSERT_EQ(products.size(), 1u);
  EXPECT_THAT(products[0].problem.text(), StartsWith("70x36x20 conv f"));
  const TunedKernels tuned = tune(products, quick(), TunedKernels(machine_id(1)));
  EXPECT_GT(tuned.find(products[0].problem.text())->other_ms, 0);
  CompileOptions chosen{.threads = 1};
  chosen.choices = std::make_shared<const Always>();
  EXPECT_EQ(count_of("jit.conv", g, chosen), 1);
  EXPECT_LE(testing::mismatch(run(g, chosen), run(g, {.threads = 1}), 1e-5, 1e-5), 1);
}

TEST_F(Tuning, DecidesEveryProductOnce) {
  const auto products = network_products(small_network(), {.threads = 1});
  const TunedKernels tuned = tune(products, quick(), TunedKernels(machine_id(1)));
  EXPECT_EQ(tuned.machine(), machine_id(1));
  for (const NetworkProduct& p : products) {
    const TunedProduct* found = tuned.find(p.problem.text());
    ASSERT_TRUE(found) << p.problem.text();
    EXPECT_GT(found->generated_ms, 0);
    EXPECT_EQ(found->measured,
              int64_t(kernels::device_space(p.problem, kernels::gemm_device(), 1).size()));
  }
  // What is known is not measured again.
  Tuner again(products, quick(), tuned);
  EXPECT_FALSE(again.step());
  EXPECT_EQ(again.tiles_measured(), 0);
  EXPECT_EQ(again.kernels().products(), tuned.products());
}

TEST_F(Tuning, EndsWhenItsTimeIsUpOrItIsStopped) {
  const auto products = network_products(small_network(), {.threads = 1});
  TuneOptions o = quick();
  o.stop = [] { return true; };
  EXPECT_TRUE(tune(products, o, TunedKernels(machine_id(1))).products().empty());
  o = quick();
  o.seconds = 1e-9;
  Tuner tuner(products, o, TunedKernels(machine_id(1)));
  while (tuner.step()) {
  }
  EXPECT_LE(tuner.tiles_measured(), 1);
}

TEST_F(Tuning, GainsAreMoreThanNoise) {
  EXPECT_TRUE(gains({1, 1, 1.01}, {1.1, 1.1, 1.12}));
  EXPECT_FALSE(gains({1, 1, 1}, {1.005, 1.005, 1.005}));                  // too little
  EXPECT_FALSE(gains({0.8, 1, 1.2, 1, 1.3}, {1.1, 0.9, 1.5, 1.1, 0.7}));  // too noisy
  EXPECT_FALSE(gains({1.1, 1.1, 1.1}, {1, 1, 1}));
}

TEST_F(Tuning, GeneratedKernelsServeWhereTheyAreChosenAndAgree) {
  const Graph g = small_network();
  CompileOptions plain{.threads = 1}, chosen{.threads = 1};
  chosen.choices = std::make_shared<const Always>();
  EXPECT_EQ(count_of("jit.matmul", g, chosen), 4);
  // With AVX2, unmeasured: products with a weight.
  EXPECT_EQ(count_of("jit", g, plain), kernels::vector_registers().per_vector() == 1 ? 0 : 3);
  const Tensor want = run(g, plain), one = run(g, chosen);
  EXPECT_LE(testing::mismatch(one, want, 1e-5, 1e-5), 1);
  chosen.threads = 2;
  const Tensor two = run(g, chosen);
  EXPECT_EQ(std::memcmp(one.raw(), two.raw(), one.bytes()), 0);
}

TEST_F(Tuning, AChoiceThatIsKeptIsReplayed) {
  const Graph g = small_network();
  const TunedKernels tuned =
      tune(network_products(g, {.threads = 1}), quick(), TunedKernels(machine_id(1)));
  CompileOptions first{.threads = 1}, later{.threads = 1};
  first.choices = std::make_shared<const TunedKernels>(tuned);
  later.choices =
      std::make_shared<const TunedKernels>(parse_tuned(tuned_text(tuned), "tuned.json"));
  const auto a = compile(g, first), b = compile(g, later);
  ASSERT_EQ(a->instructions().size(), b->instructions().size());
  for (size_t i = 0; i < a->instructions().size(); ++i)
    EXPECT_EQ(a->instructions()[i].kernel, b->instructions()[i].kernel);
  const Tensor x = run(g, first), y = run(g, later);
  EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0);
}

TEST_F(Tuning, ASessionIsTunedWhileItRuns) {
  const Graph g = small_network();
  TuningSessionOptions o;
  o.compile.threads = 1;
  o.tune = quick();
  TuningSession session(g, o, TunedKernels(machine_id(1)));
  const auto inputs = inputs_of(*session.program());
  const Tensor want = run(g, o.compile);
  do {
    EXPECT_LE(testing::mismatch(session.run(inputs)[0], want, 2e-5, 2e-5), 1);
  } while (session.tuning());
  session.wait();
  EXPECT_EQ(session.kernels().products().size(), 4u);
  // What runs now is what was decided, to the bit.
  CompileOptions decided{.threads = 1};
  decided.choices = std::make_shared<const TunedKernels>(session.kernels());
  const Tensor now = session.run(inputs)[0], same = run(g, decided);
  EXPECT_EQ(std::memcmp(now.raw(), same.raw(), now.bytes()), 0);
}

TEST_F(Tuning, ASessionMayEndInTheMiddleOfTuning) {
  TuningSessionOptions o;
  o.compile.threads = 1;
  TuningSession session(small_network(), o, TunedKernels(machine_id(1)));
  session.run(inputs_of(*session.program()));
}

}  // namespace
}  // namespace espalier

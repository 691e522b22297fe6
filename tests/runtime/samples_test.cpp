// Batches that run sample by sample: the numbers of the whole, from a program of one sample.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/runtime/network.h"

namespace espalier {
namespace {

using testing::Network;
using testing::random;

/// Odd sizes, so that samples do not begin where vectors do.
Network network(int64_t batch) {
  Network n;
  const ValueId a = n.b.one("Relu", {n.conv(n.input({batch, 3, 7, 5}), 6, 3)});
  const ValueId b = n.b.one("Sigmoid", {n.b.add(n.conv(a, 6, 3), a)});
  n.g.add_output(n.b.matmul(n.b.one("Flatten", {b}), n.weight({210, 5})));
  n.g.add_output(b);
  return n;
}

TEST(Samples, GiveWhatTheWholeGives) {
  Network n = network(5);
  const auto p = n.check(1e-5, 1e-5, {.strict = true, .batching = Batching::kSamples});
  EXPECT_EQ(p->samples(), 5);
  EXPECT_EQ(p->output_types()[0], TensorType(DType::f32, Shape{5, 5}));
}

TEST(Samples, GiveTheSameBitsOnAnyNumberOfThreads) {
  Network n = network(4);
  const auto bits = [&](int threads) {
    Session s(compile(n.g, {.threads = threads, .batching = Batching::kSamples}));
    EXPECT_EQ(s.program().samples(), 4);
    return s.run(n.inputs);
  };
  const auto one = bits(1), three = bits(3);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].identical(three[i]));
}

TEST(Samples, FollowInputsAndOutputsThatMove) {
  Network n = network(3);
  Session s(compile(n.g, {.threads = 2, .batching = Batching::kSamples}));
  s.run(n.inputs);
  const std::vector<Tensor> others = {random(n.inputs[0].shape(), 77)};
  const auto want = interpret(n.g, others), got = s.run(others);
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_LE(testing::mismatch(got[i], want[i], 1e-5, 1e-5), 1) << i;
}

TEST(Samples, TakeLessMemoryThanTheWhole) {
  Network n = network(8);
  const auto whole = compile(n.g, {.threads = 2, .batching = Batching::kWhole}),
             apart = compile(n.g, {.threads = 2, .batching = Batching::kSamples});
  EXPECT_LT(apart->arena_bytes(), whole->arena_bytes());
}

TEST(Samples, StayTogetherWhereThreadsWouldIdle) {
  Network n = network(2);
  EXPECT_EQ(compile(n.g, {.threads = 4, .batching = Batching::kSamples})->samples(), 1);
}

TEST(Samples, StayTogetherWhereTheyMeet) {
  Network n;
  n.g.add_output(n.b.one("Softmax", {n.input({4, 3})}, {{"axis", int64_t{0}}}));
  const auto p = n.check(1e-6, 1e-6, {.batching = Batching::kSamples});
  EXPECT_EQ(p->samples(), 1);
}

// Only where what lies between nodes fits no cache, but that of one sample outweighs its start.
TEST(Samples, GoApartWhereThatIsFaster) {
  const auto samples = [](const Shape& shape) {
    Graph g;
    Builder b(g);
    const ValueId x = g.add_input("x", TensorType(DType::f32, shape));
    g.add_output(b.one("Flatten", {b.one("GlobalAveragePool", {b.one("Relu", {x})})}));
    return compile(g, {.threads = 1})->samples();
  };
  EXPECT_EQ(samples({256, 4, 256, 256}), 256);
  EXPECT_EQ(samples({1 << 23, 4, 3, 2}), 1);
  EXPECT_EQ(samples({8, 4, 16, 16}), 1);
}

TEST(Samples, RefuseWhatDoesNotFit) {
  Network n = network(4);
  Session s(compile(n.g, {.threads = 2, .batching = Batching::kSamples}));
  EXPECT_THROW(s.run({random({1, 3, 7, 5}, 1)}), UserError);
}

TEST(Samples, AreTimedByInstruction) {
  Network n = network(4);
  Session s(compile(n.g, {.threads = 2, .batching = Batching::kSamples, .profile = true}));
  s.run(n.inputs);
  ASSERT_EQ(s.profile().entries.size(), s.program().instructions().size());
  EXPECT_GT(s.profile().total_us(), 0);
  s.clear_profile();
  EXPECT_EQ(s.profile().total_us(), 0);
}

}  // namespace
}  // namespace espalier

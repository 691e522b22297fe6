// Networks behind the queue: which may share a run, and that sharing changes no answer.
#include "serve/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "serve/rows.h"
#include "tests/support/samples.h"

namespace espalier::serve {
namespace {

using ::testing::HasSubstr;

constexpr const char* kOpen = R"(graph "open"(%x: f32[N,3]) -> (%y, %z) {
  %w = parameter f32[3,4] [0.5, -1, 2, 0.25, 1, 1, -0.5, 3, -2, 0.125, 1, 1]
  %h: f32[N,4] = MatMul(%x, %w)
  %y: f32[N,4] = Softmax(%h)
  %z: f32[N,4] = Tanh(%h)
}
)";

Tensor random(const Shape& shape, uint64_t stream) {
  Tensor t(DType::f32, shape);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(Rng(5, stream).normal(uint64_t(i)));
  return t;
}

NetworkOptions options(int64_t max_batch, bool reference = false) {
  NetworkOptions o;
  o.max_batch = max_batch;
  o.reference = reference;
  return o;
}

std::vector<Tensors> run(Network& network, const std::vector<Tensors>& requests) {
  std::vector<const Tensors*> list;
  for (const Tensors& r : requests) list.push_back(&r);
  return network.form(requests[0])->run(0, list);
}

TEST(Rows, StackAndComeApart) {
  const Tensor a = random({2, 3}, 1), b = random({1, 3}, 2);
  const std::vector<const Tensor*> parts = {&a, &b};
  const Tensor batch = stacked(parts, 5);
  EXPECT_EQ(batch.shape(), (Shape{5, 3}));
  EXPECT_TRUE(rows_from(batch, 0, 2).identical(a));
  EXPECT_TRUE(rows_from(batch, 2, 1).identical(b));
  EXPECT_TRUE(rows_from(batch, 4, 1).identical(b)) << "filled up with the last row";
  const std::vector<const Tensor*> one = {&a};
  EXPECT_EQ(stacked(one, 2).raw(), a.raw()) << "nothing to copy";
  const Tensor words = Tensor::from<std::string>({1, 2}, {"a", "b"});
  const std::vector<const Tensor*> twice = {&words, &words};
  EXPECT_EQ(stacked(twice, 2).data<std::string>()[3], "b");
}

TEST(Network, BatchesAnswerAsSingleRequestsDo) {
  for (const bool reference : {true, false}) {
    Network network(parse_graph(kOpen), options(8, reference));
    EXPECT_EQ(network.lone_because(), "");
    const std::vector<Tensors> requests = {
        {random({1, 3}, 1)}, {random({3, 3}, 2)}, {random({1, 3}, 3)}};
    ASSERT_TRUE(network.form(requests[0])->stacks());
    const auto together = run(network, requests);
    ASSERT_EQ(together.size(), 3u);
    for (size_t i = 0; i < requests.size(); ++i) {
      const Tensors alone = interpret(parse_graph(kOpen), requests[i]);
      for (size_t o = 0; o < 2; ++o) {
        if (reference)
          EXPECT_TRUE(together[i][o].identical(alone[o])) << i;
        else
          EXPECT_LE(testing::mismatch(together[i][o], alone[o], 1e-5, 1e-6), 1) << i;
      }
    }
  }
}

TEST(Network, FixedBatchesAreOpened) {
  Network network(parse_graph(R"(graph "fixed"(%x: f32[1,4]) -> (%y) {
  %to = constant i64[2] [1, 4]
  %a: f32[1,4] = Reshape(%x, %to)
  %y: f32[1,4] = Relu(%a)
}
)"),
                  options(4));
  EXPECT_EQ(network.lone_because(), "");
  EXPECT_FALSE(network.signature().inputs[0].type.dims[0].known());
  const auto answers = run(network, {{random({1, 4}, 1)}, {random({2, 4}, 2)}});
  EXPECT_EQ(answers[1][0].shape(), (Shape{2, 4}));
}

TEST(Network, SamplesThatSeeEachOtherRunAlone) {
  const Graph g = parse_graph(R"(graph "mixing"(%x: f32[N,2]) -> (%y) {
  %y: f32[N,2] = Softmax(%x) {axis = 0}
}
)");
  Network network(g, options(8));
  EXPECT_THAT(network.lone_because(), HasSubstr("see each other"));
  const Tensors request = {random({3, 2}, 1)};
  EXPECT_FALSE(network.form(request)->stacks());
  const auto answer = run(network, {request});
  EXPECT_LE(testing::mismatch(answer[0][0], interpret(g, request)[0], 1e-5, 1e-6), 1);
}

TEST(Network, NetworksWithoutABatchRunAlone) {
  const char* kScalar = R"(graph "scalar"(%x: f32[2,2], %s: f32[]) -> (%y) {
  %y: f32[2,2] = Mul(%x, %s)
}
)";
  Network network(parse_graph(kScalar), options(8));
  EXPECT_THAT(network.lone_because(), HasSubstr("has no batch"));
  const auto answer = run(network, {{random({2, 2}, 1), Tensor::scalar<float>(2)}});
  EXPECT_EQ(answer[0][0].shape(), (Shape{2, 2}));
  Network single(parse_graph(kOpen), options(1));
  EXPECT_THAT(single.lone_because(), HasSubstr("largest batch is 1"));
  EXPECT_EQ(run(single, {{random({5, 3}, 1)}})[0][0].shape(), (Shape{5, 4}));
}

TEST(Network, RequestsLargerThanABatchAreRefused) {
  Network network(parse_graph(kOpen), options(4));
  try {
    network.form(Tensors{random({5, 3}, 1)});
    FAIL() << "was accepted";
  } catch (const UserError& e) {
    EXPECT_STREQ(e.what(), "input 'x': shape[0]: is 5, a request has at most 4 rows");
  }
}

TEST(Network, OtherOpenExtentsHaveFormsOfTheirOwn) {
  const Graph g = parse_graph(R"(graph "words"(%x: f32[N,L]) -> (%y) {
  %axes = constant i64[1] [1]
  %y: f32[N,1] = ReduceSum(%x, %axes)
}
)");
  NetworkOptions o = options(4);
  o.most_forms = 2;
  Network network(g, o);
  const Tensors two = {random({1, 2}, 1)}, five = {random({1, 5}, 2)};
  const auto form = network.form(two);
  EXPECT_TRUE(form->stacks());
  EXPECT_EQ(network.form(Tensors{random({3, 2}, 1)}), form) << "rows do not matter";
  EXPECT_NE(network.form(five), form);
  for (int64_t n = 6; n < 12; ++n) network.form(Tensors{random({1, n}, 1)});
  EXPECT_NE(network.form(two), form) << "forgotten, and made again";
  EXPECT_NEAR(run(network, {five})[0][0].at(0), interpret(g, five)[0].at(0), 1e-5);
}

TEST(Network, WhatCannotBeServedIsSaid) {
  const auto refuse = [](const char* text) {
    try {
      Network(parse_graph(text), options(8));
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("(served)");
  };
  EXPECT_THAT(refuse(R"(graph "g"(%s: f32[2], %x: f32[2]) -> (%y) {
  %y: f32[2] = Add(%s, %x)
  state %s <- %y
}
)"),
              HasSubstr("keeps state between runs"));
}

TEST(Signature, InputsMustFit) {
  const Port port{"x", {DType::f32, {Dim::symbol("N"), 3}}};
  const auto told = [&](const Tensor& t) {
    try {
      check_fit(port, t, "inputs[0]");
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("(fits)");
  };
  EXPECT_EQ(told(Tensor(DType::f32, {2, 3})), "(fits)");
  EXPECT_EQ(told(Tensor(DType::i64, {2, 3})),
            "inputs[0].datatype: is INT64; input 'x' takes FP32 [-1,3]");
  EXPECT_EQ(told(Tensor(DType::f32, {3})),
            "inputs[0].shape: has 1 extents; input 'x' takes FP32 [-1,3]");
  EXPECT_EQ(told(Tensor(DType::f32, {2, 4})),
            "inputs[0].shape[1]: is 4; input 'x' takes FP32 [-1,3]");
  EXPECT_THAT(told(Tensor(DType::f32, {0, 3})), HasSubstr("inputs[0].shape[0]: is 0"));
  const std::vector<Port> ports = {port, {"m", {DType::f32, {Dim::symbol("N")}}}};
  EXPECT_NO_THROW(
      check_symbols(ports, Tensors{Tensor(DType::f32, {2, 3}), Tensor(DType::f32, {2})}));
  EXPECT_THROW(check_symbols(ports, Tensors{Tensor(DType::f32, {2, 3}), Tensor(DType::f32, {1})}),
               UserError);
}

}  // namespace
}  // namespace espalier::serve

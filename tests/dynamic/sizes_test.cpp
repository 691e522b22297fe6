// Results whose size depends on data, and shapes that are only known while running.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "tests/dynamic/agree.h"
#include "tests/support/run_op.h"

namespace espalier::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Twice the elements above zero.
const char* const kPositive = R"(
graph "positive"(%x: f32[N]) -> (%y) {
  %zero = constant f32[] [0]
  %first = constant i64[1] [0]
  %above = Greater(%x, %zero)
  %at = NonZero(%above)
  %places = Squeeze(%at, %first)
  %kept = Gather(%x, %places)
  %y = Add(%kept, %kept)
})";

TEST(DynamicSizes, FollowDataDownToNothing) {
  EXPECT_THAT(numbers(kPositive, {f32s({1, -1, 3, 0})}), ElementsAre(2, 6));
  EXPECT_THAT(numbers(kPositive, {f32s({-1, -2})}), IsEmpty());
  EXPECT_THAT(numbers(kPositive, {f32s({})}), IsEmpty());
}

TEST(DynamicSizes, ProgramsAreCompiledOncePerShape) {
  Model model(parse_graph(kPositive));
  const auto run = [&](std::vector<float> x) { return elements(model.run({f32s(x)})[0]); };
  EXPECT_THAT(run({1, -1, 3}), ElementsAre(2, 6));
  EXPECT_EQ(model.compilations(), 2);  // before the selection, and after it for two places
  EXPECT_THAT(run({-1, 4, 5}), ElementsAre(8, 10));
  EXPECT_EQ(model.compilations(), 2);
  EXPECT_THAT(run({1, -1, -1}), ElementsAre(2));
  EXPECT_EQ(model.compilations(), 3);  // one place
  EXPECT_THAT(run({7, 8, -1}), ElementsAre(14, 16));
  EXPECT_EQ(model.compilations(), 3);
  EXPECT_THAT(run({1, 2, -1, -1}), ElementsAre(2, 4));
  EXPECT_EQ(model.compilations(), 5);  // another input shape
}

TEST(DynamicSizes, WhatIsStraightStaysOneProgram) {
  const Graph g = parse_graph(R"(
graph "straight"(%x: f32[N,4]) -> (%y) {
  %shape = Shape(%x)
  %two = constant i64[1] [2]
  %rest = constant i64[1] [-1]
  %target = Concat(%two, %rest) {axis = 0}
  %folded = Reshape(%x, %target)
  %y = LeakyRelu(%folded)
})");
  Model model(g);
  model.run({Tensor(DType::f32, {3, 4})});
  EXPECT_EQ(model.compilations(), 1);
  EXPECT_EQ(model.session(std::vector<Shape>{{3, 4}}).program().instructions().size(), 1u);
}

TEST(DynamicSizes, ShapesMayBeInputs) {
  const auto list = [](std::vector<int64_t> v) { return Tensor::vector_i64(v); };
  const Tensor x = Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto run = [&](const std::string& line, const std::string& inputs,
                       const std::vector<Datum>& data) {
    return agreed("graph \"g\"(" + inputs + ") -> (%y) {\n" + line + "\n}", data)[0].tensor();
  };
  EXPECT_EQ(run("%r = Reshape(%x, %s) %y = Neg(%r)", "%x: f32[2,3], %s: i64[2]", {x, list({3, -1})})
                .shape(),
            (Shape{3, 2}));
  EXPECT_EQ(
      run("%r = Expand(%x, %s) %y = Neg(%r)", "%x: f32[2,3], %s: i64[3]", {x, list({4, 1, 1})})
          .shape(),
      (Shape{4, 2, 3}));
  EXPECT_EQ(
      run("%r = Tile(%x, %s) %y = Neg(%r)", "%x: f32[2,3], %s: i64[2]", {x, list({1, 3})}).shape(),
      (Shape{2, 9}));
  EXPECT_EQ(run("%r = ConstantOfShape(%s) %y = Neg(%r)", "%s: i64[2]", {list({0, 3})}).shape(),
            (Shape{0, 3}));
  EXPECT_THAT(
      elements(run("%r = Slice(%x, %a, %b) %y = Neg(%r)", "%x: f32[2,3], %a: i64[2], %b: i64[2]",
                   {x, list({0, 1}), list({9, 3})})),
      ElementsAre(-2, -3, -5, -6));
  EXPECT_THAT(elements(run("%y, %i = TopK(%x, %k)", "%x: f32[2,3], %k: i64[1]", {x, list({1})})),
              ElementsAre(3, 6));
  EXPECT_THAT(elements(run("%r = Range(%a, %b, %c) %y = Add(%r, %a)",
                           "%a: i64[], %b: i64[], %c: i64[]", {i64(1), i64(8), i64(3)})),
              ElementsAre(2, 5, 8));
  EXPECT_EQ(
      run("%r = Pad(%x, %s) %y = Neg(%r)", "%x: f32[2,3], %s: i64[4]", {x, list({0, 1, 0, 0})})
          .shape(),
      (Shape{2, 4}));
}

TEST(DynamicSizes, ValuesOfShapesDoNotCompileAnew) {
  Model model(parse_graph(R"(
graph "row"(%x: f32[5,3], %i: i64[1]) -> (%y) {
  %one = constant i64[1] [1]
  %axis = constant i64[1] [0]
  %next = Add(%i, %one)
  %row = Slice(%x, %i, %next, %axis)
  %y = LeakyRelu(%row)
})"));
  Tensor x(DType::f32, {5, 3});
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = float(i);
  for (int64_t i = 0; i < 5; ++i) {
    const int64_t at[] = {i};
    EXPECT_EQ(model.run({x, Tensor::vector_i64(at)})[0].at(0), double(3 * i));
  }
  EXPECT_EQ(model.compilations(), 2);
}

TEST(DynamicSizes, UnrankedTensorsTakeTheRankTheyMeet) {
  const char* text = R"(
graph "unranked"(%s: seq(f32[...])) -> (%y) {
  %first = constant i64[] [0]
  %x = SequenceAt(%s, %first)
  %w = constant f32[3] [1, 2, 3]
  %y = Mul(%x, %w)
})";
  const Graph g = parse_graph(text);
  EXPECT_EQ(to_string(g.value(g.find("x")).type), "f32[...]");
  EXPECT_EQ(to_string(g.value(g.find("y")).type), "f32[...]");
  const auto sequence = [](Tensor t) {
    return Datum::sequence(UnrankedType{DType::f32}, {std::move(t)});
  };
  const Tensor row = f32s({1, 1, 2});
  EXPECT_THAT(numbers(text, {sequence(row)}, /*onnx=*/false), ElementsAre(1, 2, 6));
  EXPECT_THAT(numbers(text, {sequence(row.reshaped({1, 1, 3}))}, /*onnx=*/false),
              ElementsAre(1, 2, 6));
}

TEST(DynamicSizes, UniqueGivesWhatItSays) {
  const auto got = run_op("Unique", {f32s({2, 1, 1, 3, 4, 3})});
  EXPECT_THAT(elements(got[0]), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(elements(got[1]), ElementsAre(1, 0, 3, 4));
  EXPECT_THAT(elements(got[2]), ElementsAre(1, 0, 0, 2, 3, 2));
  EXPECT_THAT(elements(got[3]), ElementsAre(2, 1, 2, 1));
  const auto met = run_op("Unique", {f32s({2, 1, 1, 3, 4, 3})}, {{"sorted", int64_t{0}}});
  EXPECT_THAT(elements(met[0]), ElementsAre(2, 1, 3, 4));
  EXPECT_THAT(elements(met[2]), ElementsAre(0, 1, 1, 2, 3, 2));
}

TEST(DynamicSizes, CompressRefusesPositionsThatAreNotThere) {
  EXPECT_THAT(user_error([] {
                run_op("Compress", {f32s({1, 2}), Tensor::from<bool>({3}, {false, false, true})});
              }),
              HasSubstr("picks position 2 of 2"));
}

TEST(DynamicSizes, SuppressionKeepsTheBestOfWhatOverlaps) {
  // Two boxes that overlap by half, one apart.
  const Tensor boxes = Tensor::from<float>({1, 3, 4}, {0, 0, 1, 1, 0, 0.25f, 1, 1.25f, 5, 5, 6, 6});
  const Tensor scores = Tensor::from<float>({1, 1, 3}, {0.5f, 0.9f, 0.3f});
  const auto rows = [&](float threshold, float least) {
    return elements(run_op("NonMaxSuppression", {boxes, scores, i64(10), Tensor::scalar(threshold),
                                                 Tensor::scalar(least)})[0]);
  };
  EXPECT_THAT(rows(0.5f, 0.f), ElementsAre(0, 0, 1, 0, 0, 2));
  EXPECT_THAT(rows(0.7f, 0.f), ElementsAre(0, 0, 1, 0, 0, 0, 0, 0, 2));
  EXPECT_THAT(rows(0.5f, 0.4f), ElementsAre(0, 0, 1));
  EXPECT_THAT(rows(0.5f, 1.f), IsEmpty());
}

TEST(DynamicSizes, StraightPartsRefuseThemInOneLine) {
  const Graph g = parse_graph(R"(
graph "find"(%x: f32[4]) -> (%at) {
  %at = NonZero(%x)
})");
  const std::string why = user_error([&] { compile(g); });
  EXPECT_THAT(why, HasSubstr("find: depends on data: the result of NonZero 'at' has the type "
                             "i64[1,?], whose size depends on data"));
  EXPECT_EQ(user_error([&] { Model(g).session(std::vector<Shape>{{4}}); }), why);
}

}  // namespace
}  // namespace espalier::testing

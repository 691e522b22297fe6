// Sequences and optionals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/text.h"
#include "tests/dynamic/agree.h"
#include "tests/support/run_op.h"

namespace espalier::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string network(const std::string& inputs, const std::string& lines) {
  return "graph \"g\"(" + inputs + ") -> (%y) {\n" + lines + "\n}";
}

const std::string kTwo = "%x: f32[2], %p: i64[]";
const std::string kMade = "%n = Neg(%x) %s = SequenceConstruct(%x, %n)\n";

TEST(Sequences, AreMadeReadAndChanged) {
  const auto run = [&](const std::string& lines, int64_t p) {
    return numbers(network(kTwo, kMade + lines), {f32s({1, 2}), i64(p)});
  };
  EXPECT_THAT(run("%y = SequenceAt(%s, %p)", 1), ElementsAre(-1, -2));
  EXPECT_THAT(run("%y = SequenceAt(%s, %p)", -2), ElementsAre(1, 2));
  EXPECT_THAT(run("%t = SequenceErase(%s, %p) %z = constant i64[] [0] %y = SequenceAt(%t, %z)", 0),
              ElementsAre(-1, -2));
  EXPECT_THAT(run("%q = Identity(%p) %t = SequenceErase(%s) %y = SequenceLength(%t)", 0),
              ElementsAre(1));
  EXPECT_THAT(run("%t = SequenceInsert(%s, %x, %p) %y = SequenceLength(%t)", 2), ElementsAre(3));
  EXPECT_THAT(run("%q = Add(%x, %x) %t = SequenceInsert(%s, %q, %p) %y = SequenceAt(%t, %p)", 1),
              ElementsAre(2, 4));
  EXPECT_THAT(run("%q = Identity(%p) %y = ConcatFromSequence(%s) {axis = 0}", 0),
              ElementsAre(1, 2, -1, -2));
  EXPECT_THAT(run("%q = Identity(%p) %y = ConcatFromSequence(%s) {axis = 1, new_axis = 1}", 0),
              ElementsAre(1, -1, 2, -2));
}

TEST(Sequences, OfNothingHaveLengthZero) {
  EXPECT_THAT(numbers(network("%x: f32[1]", "%s = SequenceEmpty() %y = SequenceLength(%s)"),
                      {f32s({1})}, /*onnx=*/false),
              ElementsAre(0));
}

TEST(Sequences, PiecesOfATensor) {
  const std::string split = "%s = SplitToSequence(%x, %p) {axis = 0} ";
  const auto run = [&](const std::string& lines, int64_t p) {
    return numbers(network("%x: f32[5], %p: i64[]", lines), {f32s({1, 2, 3, 4, 5}), i64(p)});
  };
  EXPECT_THAT(run(split + "%y = SequenceLength(%s)", 2), ElementsAre(3));
  EXPECT_THAT(run(split + "%l = constant i64[] [-1] %y = SequenceAt(%s, %l)", 2), ElementsAre(5));
  EXPECT_THAT(run("%s = SplitToSequence(%x) {keepdims = 0} %y = SequenceAt(%s, %p)", 3),
              ElementsAre(4));
}

TEST(Sequences, ItemsMayDifferInShapeAndRank) {
  const std::string text = network("%a: f32[2], %b: f32[1,3], %p: i64[]",
                                   "%s = SequenceConstruct(%a, %b)\n"
                                   "%t = SequenceAt(%s, %p) %y = Neg(%t)");
  const Tensor b = Tensor::from<float>({1, 3}, {3, 4, 5});
  EXPECT_THAT(numbers(text, {f32s({1, 2}), b, i64(0)}, /*onnx=*/false), ElementsAre(-1, -2));
  EXPECT_EQ(agreed(text, {f32s({1, 2}), b, i64(1)}, /*onnx=*/false)[0].tensor().shape(),
            (Shape{1, 3}));
}

TEST(Sequences, ProgramsAreKeptForWhatTheyHold) {
  Model model(parse_graph(
      network("%s: seq(f32[?]), %p: i64[]", "%t = SequenceAt(%s, %p) %y = Add(%t, %t)")));
  const Datum s = Datum::sequence(parse_type("f32[?]"), {f32s({1, 2}), f32s({3, 4}), f32s({5})});
  EXPECT_THAT(elements(model.run_data(std::vector<Datum>{s, i64(0)})[0].tensor()),
              ElementsAre(2, 4));
  EXPECT_EQ(model.compilations(), 1);
  EXPECT_THAT(elements(model.run_data(std::vector<Datum>{s, i64(1)})[0].tensor()),
              ElementsAre(6, 8));
  EXPECT_EQ(model.compilations(), 1);
  EXPECT_THAT(elements(model.run_data(std::vector<Datum>{s, i64(2)})[0].tensor()), ElementsAre(10));
  EXPECT_EQ(model.compilations(), 2);
}

TEST(Sequences, MayBeInputsAndOutputs) {
  const std::string text = network("%s: seq(f32[?]), %x: f32[?]", "%y = SequenceInsert(%s, %x)");
  const Datum s = Datum::sequence(parse_type("f32[?]"), {f32s({1, 2})});
  const auto got = agreed(text, {s, f32s({3})});
  ASSERT_EQ(got[0].items().size(), 2u);
  EXPECT_THAT(elements(got[0].items()[1].tensor()), ElementsAre(3));
  EXPECT_THAT(user_error([&] {
                Model(parse_graph(text)).run({f32s({3}), f32s({3})});
              }),
              HasSubstr("input 's': is f32[1], the network takes seq(f32[?])"));
}

TEST(Sequences, MapsRunTheirBodyForEachItem) {
  const char* text = R"(
graph "map"(%s: seq(f32[?]), %x: f32[]) -> (%y) {
  %z = SequenceMap(%s, %x) {body = graph "body"(%item: f32[?], %add: f32[]) -> (%sum) {
    %twice = Add(%item, %item)
    %sum = Add(%twice, %add)
  }}
  %together = ConcatFromSequence(%z) {axis = 0}
  %list = constant i64[1] [-1]
  %y = Reshape(%together, %list)
})";
  const Datum s = Datum::sequence(parse_type("f32[?]"), {f32s({1, 2}), f32s({3})});
  EXPECT_THAT(numbers(text, {s, Tensor::scalar(1.f)}), ElementsAre(3, 5, 7));
  Model model(parse_graph(text));
  const Datum four =
      Datum::sequence(parse_type("f32[?]"), {f32s({1, 2}), f32s({3, 4}), f32s({5, 6}), f32s({7})});
  model.run_data(std::vector<Datum>{four, Tensor::scalar(1.f)});
  EXPECT_EQ(model.compilations(), 2);  // for items of two and of one
}

TEST(Optionals, HoldOrDoNot) {
  const auto some = [](Tensor t) { return Datum::some(parse_type("f32[?]"), std::move(t)); };
  const Datum none = Datum::none(parse_type("f32[?]"));
  const std::string has = network("%o: optional(f32[?])", "%y = OptionalHasElement(%o)");
  EXPECT_THAT(numbers(has, {some(f32s({1}))}), ElementsAre(1));
  EXPECT_THAT(numbers(has, {none}), ElementsAre(0));
  const std::string get =
      network("%o: optional(f32[?])", "%x = OptionalGetElement(%o) %y = Neg(%x)");
  EXPECT_THAT(numbers(get, {some(f32s({1, 2}))}), ElementsAre(-1, -2));
  EXPECT_THAT(refusal(get, {none}), HasSubstr("OptionalGetElement: the optional holds nothing"));
  EXPECT_THAT(numbers(network("%x: f32[?]",
                              "%o = Optional(%x) %q = Identity(%o)\n"
                              "%z = OptionalGetElement(%q) %y = Neg(%z)"),
                      {f32s({4})}),
              ElementsAre(-4));
  EXPECT_THAT(numbers(network("%x: f32[?]",
                              "%o = Optional() {type = type f32[3]}\n"
                              "%y = OptionalHasElement(%o)"),
                      {f32s({4})}, /*onnx=*/false),
              ElementsAre(0));
}

TEST(Sequences, WhatDoesNotFitIsRefused) {
  const auto run = [&](const std::string& lines, int64_t p) {
    return refusal(network(kTwo, kMade + lines), {f32s({1, 2}), i64(p)});
  };
  EXPECT_THAT(run("%y = SequenceAt(%s, %p)", 2),
              HasSubstr("SequenceAt: position 2 lies outside 2 places"));
  EXPECT_THAT(run("%y = SequenceAt(%s, %p)", -3), HasSubstr("position -3 lies outside"));
  EXPECT_THAT(run("%t = SequenceInsert(%s, %x, %p) %y = SequenceLength(%t)", 3),
              HasSubstr("position 3 lies outside"));
  EXPECT_THAT(run("%t = SequenceErase(%s, %p) %y = SequenceLength(%t)", 2),
              HasSubstr("position 2 lies outside"));
  EXPECT_THAT(refusal(network("%s: seq(f32[?])", "%y = ConcatFromSequence(%s) {axis = 0}"),
                      {Datum::sequence(parse_type("f32[?]"), {})}),
              HasSubstr("no items"));
  const auto parse = [](const std::string& inputs, const std::string& lines) {
    return user_error([&] { parse_graph(network(inputs, lines)); });
  };
  EXPECT_THAT(parse("%x: f32[2], %i: i64[2]", "%y = SequenceConstruct(%x, %i)"),
              HasSubstr("one sequence cannot hold f32[2] and i64[2]"));
  EXPECT_THAT(parse("%s: seq(f32[?]), %p: f32[]", "%y = SequenceAt(%s, %p)"),
              HasSubstr("the position is f32[], one integer is needed"));
  EXPECT_THAT(parse("%x: f32[2], %p: i64[]", "%y = SequenceAt(%x, %p)"),
              HasSubstr("operand 0 is f32[2], a sequence is needed"));
  EXPECT_THAT(parse("%s: seq(f32[?])", "%y = Neg(%s)"),
              HasSubstr("operand 0 is seq(f32[?]), a tensor is needed"));
  EXPECT_THAT(parse("%x: f32[2]", "%y = Optional()"), HasSubstr("does not say of which type"));
}

}  // namespace
}  // namespace espalier::testing

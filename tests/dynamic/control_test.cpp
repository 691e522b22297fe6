// Branches, loops and scans: what they compute, what they compile, what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "onnx/export.h"
#include "passes/differentiate.h"
#include "tests/dynamic/agree.h"
#include "tests/support/run_op.h"

namespace espalier::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// x + w where c holds, else -x; w is captured.
const char* const kBranch = R"(
graph "branch"(%c: bool[], %x: f32[?], %w: f32[?]) -> (%z) {
  %y = If(%c, %x, %w) {then_branch = graph "add"(%x: f32[?], %w: f32[?]) -> (%s) {
    %s = Add(%x, %w)
  }, else_branch = graph "negate"(%x: f32[?], %w: f32[?]) -> (%n) {
    %n = Neg(%x)
  }}
  %z = Mul(%y, %y)
})";

TEST(If, RunsTheBranchItsConditionSays) {
  EXPECT_THAT(numbers(kBranch, {flag(true), f32s({1, 2}), f32s({10, 20})}), ElementsAre(121, 484));
  EXPECT_THAT(numbers(kBranch, {flag(false), f32s({1, 2}), f32s({10, 20})}), ElementsAre(1, 4));
  EXPECT_THAT(numbers(kBranch, {flag(false), f32s({}), f32s({})}), IsEmpty());
}

TEST(If, CompilesABranchWhenItIsTaken) {
  Model model(parse_graph(kBranch));
  const auto run = [&](bool c, size_t n) {
    const Tensor x = f32s(std::vector<float>(n, 2));
    model.run({flag(c), x, x});
    return model.compilations();
  };
  EXPECT_EQ(run(true, 2), 2);  // the branch, and what follows
  EXPECT_EQ(run(true, 2), 2);
  EXPECT_EQ(run(false, 2), 3);
  EXPECT_EQ(run(true, 2), 3);
  EXPECT_EQ(run(false, 3), 5);
}

TEST(If, BranchesMayGiveOtherShapesAndRanks) {
  const char* text = R"(
graph "shapes"(%c: bool[1], %x: f32[2,3]) -> (%z) {
  %y = If(%c, %x) {then_branch = graph "flat"(%x: f32[2,3]) -> (%s) {
    %target = constant i64[1] [-1]
    %s = Reshape(%x, %target)
  }, else_branch = graph "same"(%x: f32[2,3]) -> (%x) {
  }}
  %z = Neg(%y)
})";
  EXPECT_THAT(user_error([&] { export_onnx_bytes(parse_graph(text)); }),
              HasSubstr("output 'z': is f32[...], and ONNX files say the rank of every output"));
  EXPECT_EQ(to_string(parse_graph(text).value(parse_graph(text).find("z")).type), "f32[...]");
  const Tensor x = Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(agreed(text, {flag(true).reshaped({1}), x}, /*onnx=*/false)[0].tensor().shape(),
            (Shape{6}));
  EXPECT_EQ(agreed(text, {flag(false).reshaped({1}), x}, /*onnx=*/false)[0].tensor().shape(),
            (Shape{2, 3}));
}

TEST(If, WithAKnownConditionIsItsBranch) {
  const Graph g = parse_graph(R"(
graph "known"(%x: f32[N,4]) -> (%y) {
  %shape = Shape(%x)
  %zero = constant i64[] [0]
  %rows = Gather(%shape, %zero)
  %one = constant i64[] [1]
  %single = Equal(%rows, %one)
  %y = If(%single, %x) {then_branch = graph "squeeze"(%x: f32[?,4]) -> (%s) {
    %axes = constant i64[1] [0]
    %s = Squeeze(%x, %axes)
  }, else_branch = graph "same"(%x: f32[?,4]) -> (%x) {
  }}
})");
  const Graph one = specialised(g, std::vector<Shape>{{1, 4}});
  EXPECT_EQ(dynamics_of(one), "");
  EXPECT_EQ(to_string(one.value(one.find("y")).type), "f32[4]");
  const Graph two = specialised(g, std::vector<Shape>{{2, 4}});
  EXPECT_EQ(dynamics_of(two), "");
  EXPECT_EQ(to_string(two.value(two.find("y")).type), "f32[2,4]");
  EXPECT_EQ(violation(one), "");
  EXPECT_EQ(violation(two), "");
  Model model(g);
  EXPECT_EQ(model.run({Tensor(DType::f32, {1, 4})})[0].shape(), (Shape{4}));
  EXPECT_EQ(model.run({Tensor(DType::f32, {2, 4})})[0].shape(), (Shape{2, 4}));
  EXPECT_EQ(model.compilations(), 2);
  EXPECT_EQ(model.session(std::vector<Shape>{{1, 4}}).program().output_names(),
            std::vector<std::string>{"y"});
}

/// Doubles x until its sum is over the limit, at most `trips` times; gives x and all it was.
const char* const kDoubling = R"(
graph "doubling"(%trips: i64[], %x: f32[2], %limit: f32[]) -> (%last, %all) {
  %last, %all = Loop(%trips, _, %x, %limit) {body = graph "body"(%i: i64[], %on: bool[], %x: f32[2], %limit: f32[]) -> (%more, %next, %kept) {
    %next = Add(%x, %x)
    %kept = Identity(%next)
    %axes = constant i64[1] [0]
    %sum = ReduceSum(%next, %axes) {keepdims = 0}
    %more = Less(%sum, %limit)
  }, captured = 1}
})";

TEST(Loop, StopsByCountOrByCondition) {
  const auto run = [](int64_t trips, float limit) {
    return agreed(kDoubling, {i64(trips), f32s({1, 2}), Tensor::scalar(limit)});
  };
  auto got = run(2, 1000);
  EXPECT_THAT(elements(got[0].tensor()), ElementsAre(4, 8));
  EXPECT_THAT(elements(got[1].tensor()), ElementsAre(2, 4, 4, 8));
  got = run(100, 20);
  EXPECT_THAT(elements(got[0].tensor()), ElementsAre(8, 16));
  EXPECT_EQ(got[1].tensor().shape(), (Shape{3, 2}));
  got = run(0, 20);
  EXPECT_THAT(elements(got[0].tensor()), ElementsAre(1, 2));
  EXPECT_EQ(got[1].tensor().shape(), (Shape{0, 2}));
}

TEST(Loop, CompilesItsBodyOnce) {
  Model model(parse_graph(kDoubling));
  model.run({i64(50), f32s({1e-6f, 1e-6f}), Tensor::scalar(1000.f)});
  EXPECT_EQ(model.compilations(), 1);
  model.run({i64(7), f32s({1, 1}), Tensor::scalar(1e9f)});
  EXPECT_EQ(model.compilations(), 1);
}

TEST(Loop, ValuesThatGoRoundMayGrow) {
  const char* text = R"(
graph "growing"(%trips: i64[], %x: f32[1]) -> (%y) {
  %empty = constant f32[0] []
  %y = Loop(%trips, _, %empty, %x) {body = graph "body"(%i: i64[], %on: bool[], %so_far: f32[0], %x: f32[1]) -> (%on_, %longer) {
    %on_ = Identity(%on)
    %longer = Concat(%so_far, %x) {axis = 0}
  }, captured = 1}
})";
  EXPECT_EQ(to_string(parse_graph(text).value(parse_graph(text).find("y")).type), "f32[?]");
  EXPECT_THAT(numbers(text, {i64(3), f32s({5})}, /*onnx=*/false), ElementsAre(5, 5, 5));
  EXPECT_THAT(numbers(text, {i64(0), f32s({5})}, /*onnx=*/false), IsEmpty());
}

TEST(Loop, CarriesSequencesAndNestsBranches) {
  const char* text = R"(
graph "collect"(%trips: i64[], %x: f32[2]) -> (%y, %count) {
  %none = SequenceEmpty()
  %all = Loop(%trips, _, %none, %x) {body = graph "body"(%i: i64[], %on: bool[], %so_far: seq(f32[...]), %x: f32[2]) -> (%on_, %longer) {
    %on_ = Identity(%on)
    %two = constant i64[] [2]
    %rest = Mod(%i, %two)
    %zero = constant i64[] [0]
    %even = Equal(%rest, %zero)
    %longer = If(%even, %so_far, %x) {then_branch = graph "take"(%so_far: seq(f32[...]), %x: f32[2]) -> (%with) {
      %with = SequenceInsert(%so_far, %x)
    }, else_branch = graph "leave"(%so_far: seq(f32[...]), %x: f32[2]) -> (%so_far) {
    }}
  }, captured = 1}
  %together = ConcatFromSequence(%all) {axis = 0}
  %list = constant i64[1] [-1]
  %y = Reshape(%together, %list)
  %count = SequenceLength(%all)
})";
  const auto got = agreed(text, {i64(5), f32s({1, 2})});
  EXPECT_THAT(elements(got[0].tensor()), ElementsAre(1, 2, 1, 2, 1, 2));
  EXPECT_THAT(elements(got[1].tensor()), ElementsAre(3));
}

TEST(Loop, InALoopReadsWhatIsAroundBoth) {
  const char* text = R"(
graph "nested"(%n: i64[], %x: f32[]) -> (%y) {
  %zero = constant f32[] [0]
  %y = Loop(%n, _, %zero, %n, %x) {body = graph "outer"(%i: i64[], %on: bool[], %sum: f32[], %n: i64[], %x: f32[]) -> (%on_, %after) {
    %on_ = Identity(%on)
    %after = Loop(%i, _, %sum, %x) {body = graph "inner"(%j: i64[], %go: bool[], %part: f32[], %x: f32[]) -> (%go_, %more) {
      %go_ = Identity(%go)
      %more = Add(%part, %x)
    }, captured = 1}
  }, captured = 2}
})";
  EXPECT_THAT(numbers(text, {i64(4), Tensor::scalar(2.f)}), ElementsAre(12));
  EXPECT_THAT(numbers(text, {i64(1), Tensor::scalar(2.f)}), ElementsAre(0));
}

TEST(Loop, OptionalsGoRound) {
  const char* text = R"(
graph "optional"(%trips: i64[], %o: optional(f32[?])) -> (%y) {
  %last = Loop(%trips, _, %o) {body = graph "body"(%i: i64[], %on: bool[], %o: optional(f32[?])) -> (%on_, %next) {
    %on_ = Identity(%on)
    %has = OptionalHasElement(%o)
    %x = If(%has, %o) {then_branch = graph "held"(%o: optional(f32[?])) -> (%z) {
      %held = OptionalGetElement(%o)
      %z = Add(%held, %held)
    }, else_branch = graph "fresh"(%o: optional(f32[?])) -> (%one) {
      %one = constant f32[1] [1]
    }}
    %next = Optional(%x)
  }}
  %y = OptionalGetElement(%last)
})";
  EXPECT_THAT(numbers(text, {i64(3), Datum::none(parse_type("f32[?]"))}), ElementsAre(4));
  EXPECT_THAT(numbers(text, {i64(2), Datum::some(parse_type("f32[?]"), f32s({1, 3}))}),
              ElementsAre(4, 12));
}

/// Running sums of the rows of x, times w.
std::string scan(const std::string& attributes) {
  return R"(
graph "sums"(%start: f32[2], %x: f32[?,?], %w: f32[2]) -> (%last, %all) {
  %last, %all = Scan(%start, %x, %w) {body = graph "body"(%sum: f32[2], %row: f32[2], %w: f32[2]) -> (%next, %out) {
    %scaled = Mul(%row, %w)
    %next = Add(%sum, %scaled)
    %out = Identity(%next)
  }, captured = 1, num_scan_inputs = 1)" +
         attributes + "}\n}";
}

TEST(Scan, RunsAlongAnAxisEitherWay) {
  const Tensor rows = Tensor::from<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor columns = Tensor::from<float>({2, 3}, {1, 3, 5, 2, 4, 6});
  const auto run = [](const std::string& attributes, const Tensor& x) {
    return agreed(scan(attributes), {f32s({0, 0}), x, f32s({1, 10})});
  };
  auto got = run("", rows);
  EXPECT_THAT(elements(got[0].tensor()), ElementsAre(9, 120));
  EXPECT_THAT(elements(got[1].tensor()), ElementsAre(1, 20, 4, 60, 9, 120));
  got = run(", scan_input_axes = [-1], scan_output_axes = [1]", columns);
  EXPECT_THAT(elements(got[1].tensor()), ElementsAre(1, 4, 9, 20, 60, 120));
  got = run(", scan_input_directions = [1], scan_output_directions = [1]", rows);
  EXPECT_THAT(elements(got[1].tensor()), ElementsAre(9, 120, 8, 100, 5, 60));
  EXPECT_EQ(run("", Tensor(DType::f32, {0, 2}))[1].tensor().shape(), (Shape{0, 2}));
}

TEST(Scan, CompilesItsBodyOnce) {
  Model model(parse_graph(scan("")));
  for (int64_t rows : {3, 7, 3})
    model.run({f32s({0, 0}), Tensor(DType::f32, {rows, 2}), f32s({1, 10})});
  // The body of each cut of the graph around it: the shape of x is known there.
  EXPECT_EQ(model.compilations(), 2);
}

std::string parse_error(const std::string& text) {
  return user_error([&] { parse_graph(text, "m.esp"); });
}

TEST(Scan, RunsForwardsOrBackwards) {
  EXPECT_THAT(parse_error(scan(", scan_input_directions = [2]")), HasSubstr("has the direction 2"));
  EXPECT_THAT(parse_error(scan(", scan_output_directions = [-1]")),
              HasSubstr("has the direction -1"));
}

std::string loop_with(const std::string& body) {
  return "graph \"g\"(%n: i64[], %x: f32[2]) -> (%y) {\n  %y = Loop(%n, _, %x) {body = " + body +
         "}\n}";
}

TEST(MalformedBodies, AreRefused) {
  EXPECT_THAT(parse_error(loop_with("graph \"b\"(%i: i64[], %on: bool[], %x: f32[2]) -> (%on) {}")),
              HasSubstr("its body gives 1 results, the condition and 1 values that go round are "
                        "needed"));
  EXPECT_THAT(parse_error(loop_with("graph \"b\"(%i: i64[], %on: bool[]) -> (%on, %i) {}")),
              HasSubstr("its body takes 2 inputs, 3 are handed to it"));
  EXPECT_THAT(
      parse_error(loop_with("graph \"b\"(%i: i64[], %on: bool[], %x: f32[2]) -> (%on, %i) {}")),
      HasSubstr("value 0 that goes round is f32[2] at first and i64[] after an iteration"));
  EXPECT_THAT(
      parse_error(loop_with("graph \"b\"(%i: i64[], %on: bool[], %x: i32[2]) -> (%on, %x) {}")),
      HasSubstr("the body's input 'x' is i32[2], but is given f32[2]"));
  EXPECT_THAT(
      parse_error(loop_with("graph \"b\"(%i: i64[], %on: bool[], %x: f32[2]) -> (%i, %x) {}")),
      HasSubstr("the body's condition is i64[], one bool is needed"));
  EXPECT_THAT(parse_error("graph \"g\"(%n: f32[], %x: f32[2]) -> (%y) {\n  %y = Loop(%n, _, %x) "
                          "{body = graph \"b\"(%i: i64[], %on: bool[], %x: f32[2]) -> (%on, %x) "
                          "{}}\n}"),
              HasSubstr("the trip count is f32[], one i64 is needed"));
  EXPECT_THAT(parse_error("graph \"g\"(%n: i64[], %x: f32[2]) -> (%y) {\n  %y = Loop(%n, _, %x) "
                          "{body = graph \"b\"(%i: i64[], %on: bool[], %x: f32[2]) -> (%on, %x) "
                          "{}, captured = 5}\n}"),
              HasSubstr("too few for 5 captured ones"));
}

TEST(MalformedBodies, OfBranchesAreRefused) {
  const auto branch = [](const std::string& condition, const std::string& then_result,
                         const std::string& else_results) {
    return "graph \"g\"(%c: " + condition +
           ", %x: f32[2], %i: i64[2]) -> (%y) {\n  %y = If(%c, %x, %i) {then_branch = graph "
           "\"t\"(%x: f32[2], %i: i64[2]) -> (" +
           then_result + ") {}, else_branch = graph \"e\"(%x: f32[2], %i: i64[2]) -> (" +
           else_results + ") {}}\n}";
  };
  EXPECT_THAT(parse_error(branch("f32[]", "%x", "%x")),
              HasSubstr("the condition is f32[], one bool is needed"));
  EXPECT_THAT(parse_error(branch("bool[2]", "%x", "%x")),
              HasSubstr("the condition is bool[2], one bool is needed"));
  EXPECT_THAT(parse_error(branch("bool[]", "%x", "%x, %i")),
              HasSubstr("then_branch gives 1 results, else_branch 2"));
  EXPECT_THAT(parse_error(branch("bool[]", "%x", "%i")),
              HasSubstr("result 0 is f32[2] of then_branch and i64[2] of else_branch"));
  EXPECT_EQ(parse_error(branch("bool[]", "%x", "%x")), "(no error)");
}

TEST(MalformedBodies, AreRefusedWhenTheConditionTurnsOutWrong) {
  const char* text = R"(
graph "branch"(%c: bool[?], %x: f32[2]) -> (%y) {
  %y = If(%c, %x) {then_branch = graph "t"(%x: f32[2]) -> (%x) {}, else_branch = graph "e"(%x: f32[2]) -> (%x) {}}
})";
  EXPECT_THAT(refusal(text, {Tensor(DType::boolean, {2}), f32s({1, 2})}),
              HasSubstr("the condition is bool[2], one bool is needed"));
}

TEST(Control, HasNoGradientAndSaysSo) {
  Graph g = parse_graph(kDoubling);
  Builder b(g);
  const ValueId loss = b.reduce_sum(g.find("last"), {0}, false);
  EXPECT_THAT(user_error([&] { differentiate(g, loss, std::vector<ValueId>{g.find("x")}); }),
              HasSubstr("gradients through branches and loops are not derived"));
}

TEST(Control, CountsWhatItKnows) {
  const Graph g = parse_graph(R"(
graph "costs"(%x: f32[2,2]) -> (%y) {
  %n = constant i64[] [5]
  %y = Loop(%n, _, %x, %x) {body = graph "body"(%i: i64[], %on: bool[], %v: f32[2,2], %x: f32[2,2]) -> (%on_, %w) {
    %on_ = Identity(%on)
    %w = MatMul(%v, %x)
  }, captured = 1}
})");
  EXPECT_EQ(cost_of(g).macs, 5 * 8);
}

}  // namespace
}  // namespace espalier::testing

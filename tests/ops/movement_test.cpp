// What the generated tests of moving rooms cannot see: element types, values by hand, symbolic
// extents, shape computations, and messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/registry.h"
#include "ir/verify.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Tensor> run(const char* op, const AttributeMap& attributes,
                        const std::vector<Tensor>& operands) {
  const Room& room = room_named(op);
  std::vector<const Tensor*> p;
  for (const Tensor& t : operands) p.push_back(&t);
  return run_reference(room, room.parse(attributes, op), p);
}

std::string failure(const char* op, const AttributeMap& attributes,
                    const std::vector<Tensor>& operands) {
  try {
    run(op, attributes, operands);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

Tensor ints(std::initializer_list<int64_t> values) {
  return Tensor::from<int64_t>({int64_t(values.size())}, values);
}

std::vector<double> values(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(t.at(i));
  return v;
}

TEST(Movement, ShapesMayBeI32WhereAnExpansionReadsThem) {
  const Tensor x = Tensor::from<float>({4}, {1, 2, 3, 4});
  EXPECT_THAT(values(run("CenterCropPad", {}, {x, ints({2}).cast(DType::i32)})[0]),
              ElementsAre(2, 3));
}

TEST(Movement, PaddingNeedsOneValueAndNothingForNothing) {
  const Tensor words(DType::string, {2});
  EXPECT_EQ(failure("Pad", {}, {words, ints({1, 0}), Tensor(DType::string, {0})}),
            "Pad: the padding value is string[0], one string is needed");
  constexpr int64_t kMany = int64_t{1} << 40;
  EXPECT_EQ(run("Pad", {}, {Tensor(DType::f32, {0, 1}), ints({0, 0, 0, kMany})})[0].shape(),
            (Shape{0, kMany + 1}));
}

TEST(Movement, OnlySequencesOfTensorsArePutTogether) {
  Graph g;
  Builder b(g);
  const ValueId nested = g.add_input("s", parse_type("seq(seq(f32[2]))"));
  try {
    b.one("ConcatFromSequence", {nested}, {{"axis", int64_t{0}}});
    FAIL() << "a sequence of sequences was taken";
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("seq(seq(f32[2])), a sequence of tensors is needed"));
  }
}

// Every element type moves, strings included.
TEST(Movement, AnyElementTypeMoves) {
  for (int d = 0; d <= int(DType::string); ++d) {
    const auto dtype = DType(d);
    Tensor x(dtype, {2, 3});
    if (dtype == DType::string)
      for (int i = 0; i < 6; ++i) x.mutable_data<std::string>()[i] = std::string(40, char('a' + i));
    else
      x = Tensor::from<int64_t>({2, 3}, {1, 0, 1, 1, 0, 0}).cast(dtype);
    const Tensor turned = run("Transpose", {}, {x})[0];
    EXPECT_TRUE(run("Transpose", {}, {turned})[0].identical(x)) << name_of(dtype);
    const auto parts = run("Split", {{"axis", int64_t{1}}, {"num_outputs", int64_t{3}}}, {x});
    EXPECT_TRUE(run("Concat", {{"axis", int64_t{1}}}, parts)[0].identical(x)) << name_of(dtype);
    const Tensor back =
        run("Gather", {}, {run("Gather", {}, {x, ints({1, 0})})[0], ints({-1, 0})})[0];
    EXPECT_TRUE(back.identical(x)) << name_of(dtype);
    const Tensor framed = run("Pad", {{"mode", std::string("edge")}}, {x, ints({1, 1, 0, 2})})[0];
    EXPECT_TRUE(run("Slice", {}, {framed, ints({1, 1}), ints({9, 4})})[0].identical(x))
        << name_of(dtype);
  }
}

TEST(Movement, SlicesFollowNumpy) {
  const Tensor x = Tensor::from<float>({6}, {0, 1, 2, 3, 4, 5});
  const auto slice = [&](int64_t start, int64_t end, int64_t step) {
    return values(run("Slice", {}, {x, ints({start}), ints({end}), ints({0}), ints({step})})[0]);
  };
  constexpr int64_t kLow = std::numeric_limits<int64_t>::min();
  constexpr int64_t kHigh = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(slice(1, -1, 2), ElementsAre(1, 3));
  EXPECT_THAT(slice(kHigh, kLow, -1), ElementsAre(5, 4, 3, 2, 1, 0));
  EXPECT_THAT(slice(-2, kLow, -3), ElementsAre(4, 1));
  EXPECT_THAT(slice(kLow, kHigh, kHigh), ElementsAre(0));
  EXPECT_THAT(slice(kHigh, kLow, kLow), ElementsAre(5));
  EXPECT_THAT(slice(4, 2, 1), ElementsAre());
  EXPECT_THAT(slice(0, 6, -1), ElementsAre());
  EXPECT_TRUE(values(run("Slice", {},
                         {Tensor(DType::f32, {0}), ints({0}), ints({5}), ints({0}), ints({-1})})[0])
                  .empty());
}

TEST(Movement, PaddingReflectsAndRepeats) {
  const Tensor x = Tensor::from<float>({3}, {1, 2, 3});
  const auto pad = [&](const char* mode) {
    return values(run("Pad", {{"mode", std::string(mode)}}, {x, ints({2, 1})})[0]);
  };
  EXPECT_THAT(pad("constant"), ElementsAre(0, 0, 1, 2, 3, 0));
  EXPECT_THAT(pad("reflect"), ElementsAre(3, 2, 1, 2, 3, 2));
  EXPECT_THAT(pad("edge"), ElementsAre(1, 1, 1, 2, 3, 3));
}

TEST(Movement, ScattersCombine) {
  const Tensor x = Tensor::from<float>({3}, {1, 2, 3}), index = ints({0, 2, 0});
  const Tensor updates = Tensor::from<float>({3}, {5, 1, -4});
  const auto scatter = [&](const char* reduction) {
    return values(
        run("ScatterElements", {{"reduction", std::string(reduction)}}, {x, index, updates})[0]);
  };
  EXPECT_THAT(scatter("none"), ElementsAre(-4, 2, 1));
  EXPECT_THAT(scatter("add"), ElementsAre(2, 2, 4));
  EXPECT_THAT(scatter("mul"), ElementsAre(-20, 2, 3));
  EXPECT_THAT(scatter("max"), ElementsAre(5, 2, 3));
  EXPECT_THAT(scatter("min"), ElementsAre(-4, 2, 1));
}

TEST(Movement, GeneratorsGiveTheirValues) {
  const auto range = [](int64_t from, int64_t to, int64_t step) {
    return values(
        run("Range", {}, {Tensor::scalar(from), Tensor::scalar(to), Tensor::scalar(step)})[0]);
  };
  EXPECT_THAT(range(10, 3, -2), ElementsAre(10, 8, 6, 4));
  EXPECT_THAT(range(0, 4, 2), ElementsAre(0, 2));
  EXPECT_THAT(range(3, 0, 1), ElementsAre());
  EXPECT_THAT(values(run("OneHot", {},
                         {ints({-1, 0, 7}), Tensor::scalar<int64_t>(2),
                          Tensor::from<float>({2}, {0, 1})})[0]),
              ElementsAre(0, 1, 1, 0, 0, 0));
  const auto top = run("TopK", {}, {Tensor::from<float>({4}, {1, 3, 3, 0}), ints({3})});
  EXPECT_THAT(values(top[0]), ElementsAre(3, 3, 1));
  EXPECT_THAT(values(top[1]), ElementsAre(1, 2, 0));
}

TEST(Movement, ErrorsSayWhatDoesNotFit) {
  const Tensor x(DType::f32, {2, 3});
  const AttributeMap axis5 = {{"axis", int64_t{5}}};
  EXPECT_EQ(failure("Transpose", {{"perm", std::vector<int64_t>{0, 0}}}, {x}),
            "Transpose: perm [0,0] does not permute the axes of f32[2,3]");
  EXPECT_EQ(failure("Concat", axis5, {x, x}), "Concat: axis 5 is outside a tensor of rank 2");
  EXPECT_EQ(failure("Concat", {{"axis", int64_t{0}}}, {x, Tensor(DType::f32, {2, 4})}),
            "Concat: operands f32[2,3] and f32[2,4] differ in axis 1");
  EXPECT_EQ(failure("Split", {}, {x, ints({1, 2})}), "Split: the sizes [1,2] do not add up to 2");
  EXPECT_EQ(failure("Split", {}, {x}), "Split: neither sizes nor a number of pieces are given");
  EXPECT_EQ(failure("Squeeze", {}, {x, ints({0})}),
            "Squeeze: axis 0 of f32[2,3] is not of extent 1");
  EXPECT_EQ(failure("Unsqueeze", {}, {x, ints({0, 0})}), "Unsqueeze: axis 0 is named twice");
  EXPECT_EQ(failure("Expand", {}, {x, ints({-1, 3})}),
            "Expand: the target [-1,3] has a negative extent");
  EXPECT_EQ(failure("Slice", {}, {x, ints({0}), ints({1}), ints({0}), ints({0})}),
            "Slice: a step of 0 takes nothing");
  EXPECT_EQ(failure("Slice", {}, {x, ints({0}), ints({1, 2})}),
            "Slice: starts, ends, axes and steps differ in length");
  EXPECT_EQ(failure("Slice", {}, {x, Tensor::scalar(1.f), ints({1})}),
            "Slice: operand 1 is f32[], a list of integers is needed");
  EXPECT_EQ(failure("Gather", {}, {x, ints({2})}),
            "Gather: index 2 is outside an axis of extent 2");
  EXPECT_EQ(failure("GatherElements", {}, {x, Tensor::from<int64_t>({1, 3}, {0, -3, 0})}),
            "GatherElements: index -3 is outside an axis of extent 2");
  EXPECT_EQ(failure("ScatterElements", {{"reduction", std::string("avg")}},
                    {x, Tensor(DType::i64, {1, 1}), Tensor(DType::f32, {1, 1})}),
            "ScatterElements: reduction 'avg' is not known");
  EXPECT_EQ(failure("Pad", {{"mode", std::string("reflect")}}, {x, ints({2, 0, 0, 0})}),
            "Pad: cannot reflect 2 elements of an extent of 2");
  EXPECT_EQ(failure("Pad", {}, {x, ints({-3, 0, 0, 0})}),
            "Pad: pads of -3 and 0 do not fit an extent of 2");
  EXPECT_EQ(failure("Pad", {}, {x, ints({1, 2})}),
            "Pad: pads [1,2] are not two for each of 2 axes");
  EXPECT_THAT(failure("Range", {}, {Tensor::scalar(0.f), Tensor::scalar(1.f), Tensor::scalar(0.f)}),
              HasSubstr("has no end"));
  EXPECT_EQ(failure("Constant", {}, {}),
            "Constant: exactly one of its value attributes must be given");
  EXPECT_EQ(failure("TopK", {}, {x, ints({4})}), "TopK: k = 4 of an axis of extent 3");
  EXPECT_THAT(failure("ConstantOfShape", {}, {ints({1 << 30, 1 << 30, 1 << 30})}),
              HasSubstr("more elements than fit 64 bits"));
}

// x [N,2,3] -> x reshaped to [N, 6] by Shape, Gather, Unsqueeze and Concat.
TEST(Movement, ShapeComputationsFoldWhenSpecialised) {
  Graph g;
  const ValueId x =
      g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2), Dim(3)}));
  Builder b(g);
  const ValueId batch =
      b.one("Gather", {b.one("Shape", {x}), b.constant(Tensor::scalar<int64_t>(0))});
  const ValueId target = b.one("Concat", {b.one("Unsqueeze", {batch, b.ints({0})}), b.ints({-1})},
                               {{"axis", int64_t{0}}});
  const ValueId y = b.one("Reshape", {x, target});
  g.set_outputs({y});
  EXPECT_EQ(violation(g), "");
  EXPECT_EQ(to_string(b.type(target)), "i64[2]");
  EXPECT_EQ(to_string(b.type(y)), "f32[?,?]");

  const Graph five = specialised(g, std::vector<Shape>{{5, 2, 3}});
  ASSERT_EQ(five.order().size(), 1u);
  EXPECT_EQ(five.node(five.order()[0]).room->full_name(), "Reshape");
  EXPECT_EQ(to_string(five.value(five.outputs()[0]).type), "f32[5,6]");
  const Tensor in(DType::f32, {5, 2, 3});
  EXPECT_EQ(interpret(five, std::vector<Tensor>{in})[0].shape(), (Shape{5, 6}));
  EXPECT_EQ(interpret(g, std::vector<Tensor>{in})[0].shape(), (Shape{5, 6}));
}

std::string inferred(const char* op, const AttributeMap& attributes, const char* type,
                     const std::vector<Tensor>& constants) {
  Graph g;
  Values operands = {g.add_input("x", parse_type(type))};
  Builder b(g);
  for (const Tensor& t : constants) operands.push_back(b.constant(t));
  std::string text;
  for (ValueId v : b.op(op, operands, attributes)) text += to_string(g.value(v).type) + " ";
  return text;
}

TEST(Movement, SymbolicExtentsPassWhereNothingTouchesThem) {
  constexpr int64_t kHigh = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(inferred("Transpose", {}, "f32[N,3]", {}), "f32[3,N] ");
  EXPECT_EQ(inferred("Flatten", {}, "f32[N,3,4]", {}), "f32[N,12] ");
  EXPECT_EQ(inferred("Squeeze", {}, "f32[N,1,4]", {}), "f32[N,4] ");
  EXPECT_EQ(inferred("Slice", {}, "f32[N,6]", {ints({1}), ints({-1}), ints({1})}), "f32[N,4] ");
  EXPECT_EQ(inferred("Slice", {}, "f32[N,6]", {ints({0}), ints({kHigh})}), "f32[N,6] ");
  EXPECT_EQ(inferred("Slice", {}, "f32[N,6]", {ints({0}), ints({-1})}), "f32[?,6] ");
  EXPECT_EQ(inferred("Split", {{"axis", int64_t{1}}}, "f32[N,6]", {ints({2, 4})}),
            "f32[N,2] f32[N,4] ");
  EXPECT_EQ(inferred("Expand", {}, "f32[N,1]", {ints({1, 4})}), "f32[N,4] ");
  EXPECT_EQ(inferred("Gather", {{"axis", int64_t{1}}}, "f32[N,6,S]", {ints({0, 1})}),
            "f32[N,2,S] ");
  EXPECT_EQ(inferred("Pad", {}, "f32[N,6]", {ints({0, 1, 0, 1})}), "f32[N,8] ");
  EXPECT_EQ(inferred("Tile", {}, "f32[N,6]", {ints({1, 2})}), "f32[N,12] ");
  EXPECT_EQ(inferred("ReduceSum", {{"keepdims", int64_t{0}}}, "f32[N,6]", {ints({1})}), "f32[N] ");
}

}  // namespace
}  // namespace espalier

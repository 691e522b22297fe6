// Windows, convolutions and pools on numbers worked out by hand, and what they refuse.
#include "ops/window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/registry.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor counting(Shape shape) {
  Tensor t(DType::f32, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = float(i + 1);
  return t;
}

/// The results of one operator on constant operands (an empty shape list stands for itself).
std::vector<Tensor> run(const char* op, const std::vector<Tensor>& operands,
                        const AttributeMap& attributes) {
  Graph g;
  Values values;
  for (size_t i = 0; i < operands.size(); ++i)
    values.push_back(g.add_constant("x" + std::to_string(i), operands[i]));
  Builder b(g);
  g.set_outputs(b.op(op, values, attributes));
  return interpret(g, {});
}

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(t.at(i));
  return v;
}

std::string refusal(const char* op, const std::vector<Tensor>& operands,
                    const AttributeMap& attributes) {
  try {
    run(op, operands, attributes);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

using Ints = std::vector<int64_t>;

TEST(Window, SamePadsGoToTheSideTheNameSays) {
  ops::Window w;
  w.strides = {2};
  w.auto_pad = "SAME_UPPER";
  ops::WindowAxis a = ops::window_axis(w, 0, 4, 3);
  EXPECT_EQ(a.out, 2);
  EXPECT_EQ(a.pad_begin, 0);
  EXPECT_EQ(a.pad_end, 1);
  w.auto_pad = "SAME_LOWER";
  a = ops::window_axis(w, 0, 4, 3);
  EXPECT_EQ(a.pad_begin, 1);
  EXPECT_EQ(a.pad_end, 0);
}

TEST(Window, CeilModeDropsAWindowThatStartsBehindTheOperand) {
  ops::Window w;
  w.strides = {2};
  EXPECT_EQ(ops::window_axis(w, 0, 5, 2, false).out, 2);
  EXPECT_EQ(ops::window_axis(w, 0, 5, 2, true).out, 3);
  EXPECT_EQ(ops::window_axis(w, 0, 4, 1, true).out, 2);
}

TEST(Window, SymbolicExtentsAreKeptWhereTheWindowKeepsThem) {
  const auto result = [](const AttributeMap& attributes) {
    Graph g;
    const ValueId x = g.add_input("x", parse_type("f32[N,3,H,W]"));
    const ValueId k = g.add_constant("k", Tensor(DType::f32, {8, 3, 3, 3}));
    Builder b(g);
    return to_string(b.type(b.one("Conv", {x, k}, attributes)));
  };
  EXPECT_EQ(result({{"pads", Ints{1, 1, 1, 1}}}), "f32[N,8,H,W]");
  EXPECT_EQ(result({{"auto_pad", std::string("SAME_UPPER")}}), "f32[N,8,H,W]");
  EXPECT_EQ(result({}), "f32[N,8,?,?]");
  EXPECT_EQ(result({{"pads", Ints{1, 0, 1, 0}}, {"strides", Ints{1, 2}}}), "f32[N,8,H,?]");
}

TEST(Window, EmptyExtentsGiveEmptyResults) {
  const Tensor nothing(DType::f32, {1, 2, 0, 4});
  const AttributeMap window = {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}};
  EXPECT_EQ(run("AveragePool", {nothing}, window)[0].shape(), (Shape{1, 2, 0, 1}));
  EXPECT_EQ(run("MaxPool", {nothing}, window)[0].shape(), (Shape{1, 2, 0, 1}));
  EXPECT_EQ(run("Conv", {nothing, counting({3, 2, 3, 3})}, window)[0].shape(), (Shape{1, 3, 0, 1}));
}

TEST(Window, OverlapsVisitEveryProductOnce) {
  ops::Window w;
  w.strides = {2, 1};
  w.pads = {1, 0, 1, 2};
  w.dilations = {1, 2};
  const ops::Geometry g = ops::geometry(w, {4, 5}, {3, 2});
  std::vector<std::array<int64_t, 3>> visited, expected;
  ops::for_each_overlap(g, [&](int64_t k, int64_t y, int64_t x, int64_t count, int64_t step) {
    for (int64_t i = 0; i < count; ++i) visited.push_back({k, y + i, x + i * step});
  });
  const auto& [d, h, v] = g.axes;
  for (int64_t kh = 0; kh < 3; ++kh)
    for (int64_t kw = 0; kw < 2; ++kw)
      for (int64_t oh = 0; oh < h.out; ++oh)
        for (int64_t ow = 0; ow < v.out; ++ow) {
          const int64_t y = oh * 2 + kh - 1, x = ow + 2 * kw;
          if (y < 0 || y >= 4 || x < 0 || x >= 5) continue;
          expected.push_back({kh * 2 + kw, oh * v.out + ow, y * 5 + x});
        }
  EXPECT_EQ(visited, expected);
}

TEST(Conv, SumsWindows) {
  const Tensor ones = Tensor::from<float>({1, 1, 2, 2}, {1, 1, 1, 1});
  const auto y = run("Conv", {counting({1, 1, 3, 3}), ones}, {})[0];
  EXPECT_THAT(numbers(y), ElementsAre(12, 16, 24, 28));
  const auto padded = run("Conv", {counting({1, 1, 2, 2}), ones},
                          {{"pads", Ints{1, 0, 0, 1}}, {"strides", Ints{1, 1}}})[0];
  EXPECT_THAT(numbers(padded), ElementsAre(3, 2, 10, 6));
}

TEST(Conv, RefusesWhatDoesNotFit) {
  const Tensor x = counting({1, 3, 4, 4}), w = counting({2, 3, 3, 3});
  EXPECT_THAT(refusal("Conv", {x, counting({2, 2, 3, 3})}, {}),
              HasSubstr("the operand has 3 channels, the weight takes 2 in each of 1 groups"));
  EXPECT_THAT(refusal("Conv", {x, w}, {{"strides", Ints{0, 1}}}),
              HasSubstr("strides [0,1] has an entry out of range"));
  EXPECT_THAT(refusal("Conv", {x, w}, {{"pads", Ints{1, 1}}}),
              HasSubstr("pads has 2 entries, 4 are needed"));
  EXPECT_THAT(refusal("Conv", {x, w}, {{"dilations", Ints{3, 1}}}),
              HasSubstr("a window of 7 does not fit into 4 positions along spatial axis 0"));
  EXPECT_THAT(refusal("Conv", {x, w}, {{"auto_pad", std::string("SAME")}}),
              HasSubstr("auto_pad 'SAME' is not known"));
  EXPECT_THAT(refusal("Conv", {x, w}, {{"kernel_shape", Ints{5, 5}}}),
              HasSubstr("kernel_shape is [5,5], the weight is f32[2,3,3,3]"));
  EXPECT_THAT(refusal("Conv", {x, w, counting({3})}, {}),
              HasSubstr("the bias has 3 entries for 2 result channels"));
  EXPECT_THAT(refusal("Conv", {x, w}, {{"group", int64_t{0}}}),
              HasSubstr("group is 0, at least 1 is needed"));
}

TEST(ConvTranspose, FitsItsPadsToTheWantedShape) {
  const Tensor x = counting({1, 1, 3, 3}), w = counting({1, 1, 3, 3});
  EXPECT_EQ(
      run("ConvTranspose", {x, w}, {{"strides", Ints{3, 2}}, {"output_padding", Ints{1, 1}}})[0]
          .shape(),
      (Shape{1, 1, 10, 8}));
  EXPECT_EQ(run("ConvTranspose", {x, w},
                {{"strides", Ints{2, 2}}, {"auto_pad", std::string("SAME_UPPER")}})[0]
                .shape(),
            (Shape{1, 1, 6, 6}));
  const auto y =
      run("ConvTranspose", {counting({1, 1, 2}), counting({1, 1, 3})}, {{"strides", Ints{2}}})[0];
  EXPECT_THAT(numbers(y), ElementsAre(1, 2, 5, 4, 6));
}

TEST(MaxPool, NamesThePlaceOfTheFirstLargestElement) {
  const Tensor x = Tensor::from<float>({1, 1, 2, 4}, {5, 1, 2, 2, 5, 0, 2, 2});
  const AttributeMap window = {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}};
  auto y = run("MaxPool", {x}, window);
  EXPECT_THAT(numbers(y[0]), ElementsAre(5, 2));
  EXPECT_THAT(numbers(y[1]), ElementsAre(0, 2));
  AttributeMap columns = window;
  columns["storage_order"] = int64_t{1};
  y = run("MaxPool", {x}, columns);
  EXPECT_THAT(numbers(y[1]), ElementsAre(0, 4));
  // Padding never wins, not even over negative elements.
  const Tensor low = Tensor::from<float>({1, 1, 1}, {-3});
  EXPECT_THAT(numbers(run("MaxPool", {low}, {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}})[0]),
              ElementsAre(-3));
}

TEST(AveragePool, CountsPaddingOnlyWhenAskedAndNeverBehindIt) {
  const Tensor x = Tensor::from<float>({1, 1, 3}, {2, 4, 6});
  AttributeMap a = {{"kernel_shape", Ints{2}}, {"strides", Ints{2}}, {"pads", Ints{1, 0}}};
  EXPECT_THAT(numbers(run("AveragePool", {x}, a)[0]), ElementsAre(2, 5));
  a["count_include_pad"] = int64_t{1};
  EXPECT_THAT(numbers(run("AveragePool", {x}, a)[0]), ElementsAre(1, 5));
  // The last window reaches past the operand: ceil_mode's surplus divides by what is there.
  a = {{"kernel_shape", Ints{2}},
       {"strides", Ints{2}},
       {"ceil_mode", int64_t{1}},
       {"count_include_pad", int64_t{1}}};
  EXPECT_THAT(numbers(run("AveragePool", {x}, a)[0]), ElementsAre(3, 6));
}

}  // namespace
}  // namespace espalier

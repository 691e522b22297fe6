// Normalisations, resampling and recurrences on numbers worked out by hand, and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/registry.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor floats(Shape shape, std::initializer_list<float> values) {
  return Tensor::from<float>(std::move(shape), values);
}

/// The results of one operator on constant operands; an empty 1-D f32 tensor stands for an omitted
/// one.
std::vector<Tensor> run(const char* op, const std::vector<Tensor>& operands,
                        const AttributeMap& attributes = {}) {
  Graph g;
  Values values;
  for (size_t i = 0; i < operands.size(); ++i)
    values.push_back(operands[i].shape() == Shape{0}
                         ? kNoValue
                         : g.add_constant("x" + std::to_string(i), operands[i]));
  Builder b(g);
  g.set_outputs(b.op(op, values, attributes));
  return interpret(g, {});
}

std::string refusal(const char* op, const std::vector<Tensor>& operands,
                    const AttributeMap& attributes = {}) {
  try {
    run(op, operands, attributes);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(std::round(t.at(i) * 1e4) / 1e4);
  return v;
}

TEST(BatchNormalization, TrainingMovesTheRunningStatisticsByTheShareOfTheBatch) {
  const Tensor one = floats({1}, {1}), zero = floats({1}, {0});
  const auto y = run("BatchNormalization", {floats({4, 1}, {1, 3, 5, 7}), one, zero, zero, one},
                     {{"training_mode", int64_t{1}}, {"momentum", 0.75f}, {"epsilon", 0.0f}});
  ASSERT_EQ(y.size(), 5u);
  EXPECT_THAT(numbers(y[0]), ElementsAre(-1.3416, -0.4472, 0.4472, 1.3416));
  EXPECT_THAT(numbers(y[1]), ElementsAre(1));  // 0.75 * 0 + 0.25 * 4
  EXPECT_THAT(numbers(y[2]), ElementsAre(2));  // 0.75 * 1 + 0.25 * 5
  EXPECT_THAT(numbers(y[3]), ElementsAre(4));
  EXPECT_THAT(numbers(y[4]), ElementsAre(0.4472));
}

TEST(BatchNormalization, ModeFollowsWhatTheGraphIsFor) {
  const Room& room = room_named("BatchNormalization");
  const Attributes inference = room.parse({}, "");
  const Attributes training = room.with_mode(inference, true);
  EXPECT_EQ(std::get<int64_t>(room.print(training, true).at("training_mode")), 1);
  EXPECT_EQ(
      std::get<int64_t>(room.print(room.with_mode(training, false), true).at("training_mode")), 0);
}

TEST(Softmax, SurvivesLargeOperands) {
  EXPECT_THAT(numbers(run("Softmax", {floats({1, 2}, {1000, 1000})})[0]), ElementsAre(0.5, 0.5));
  EXPECT_THAT(numbers(run("LogSoftmax", {floats({1, 2}, {-1000, 1000})})[0]),
              ElementsAre(-2000, 0));
  EXPECT_THAT(refusal("Softmax", {floats({2}, {0, 0})}, {{"axis", int64_t{1}}}),
              HasSubstr("axis 1"));
}

TEST(LayerNormalization, GivesTheStatisticsItUsed) {
  const auto y = run("LayerNormalization", {floats({1, 4}, {1, 3, 5, 7}), floats({1}, {2})},
                     {{"epsilon", 0.0f}});
  EXPECT_THAT(numbers(y[0]), ElementsAre(-2.6833, -0.8944, 0.8944, 2.6833));
  EXPECT_THAT(numbers(y[1]), ElementsAre(4));
  EXPECT_THAT(numbers(y[2]), ElementsAre(0.4472));
  EXPECT_THAT(refusal("LayerNormalization", {floats({1, 2}, {1, 2}), floats({3}, {1, 1, 1})}),
              HasSubstr("does not broadcast"));
}

TEST(Resize, InterpolatesBetweenPixelCentres) {
  const Tensor x = floats({1, 1, 2}, {1, 2}), twice = floats({3}, {1, 1, 2}), none;
  const auto linear = [&](const char* mode) {
    return numbers(run("Resize", {x, none, twice},
                       {{"mode", std::string("linear")},
                        {"coordinate_transformation_mode", std::string(mode)}})[0]);
  };
  EXPECT_THAT(linear("half_pixel"), ElementsAre(1, 1.25, 1.75, 2));
  EXPECT_THAT(linear("asymmetric"), ElementsAre(1, 1.5, 2, 2));
  EXPECT_THAT(linear("align_corners"), ElementsAre(1, 1.3333, 1.6667, 2));
  EXPECT_THAT(numbers(run("Resize", {x, none, twice})[0]), ElementsAre(1, 1, 2, 2));
  // Keys' kernel with a = -0.75 half way between pixels: -0.09375, 0.59375, 0.59375, -0.09375.
  EXPECT_THAT(
      numbers(run("Resize", {floats({1, 1, 4}, {0, 1, 0, 0}), none, floats({3}, {1, 1, 0.5f})},
                  {{"mode", std::string("cubic")}})[0]),
      ElementsAre(0.5938, -0.0938));
}

TEST(Resize, RefusesWhatItCannotMean) {
  const Tensor x = floats({1, 1, 2}, {1, 2}), none;
  EXPECT_THAT(refusal("Resize", {x}), HasSubstr("neither scales nor sizes are given"));
  EXPECT_THAT(refusal("Resize", {x, none, floats({3}, {1, 1, -2})}), HasSubstr("is not positive"));
  EXPECT_THAT(refusal("Resize", {x, none, floats({2}, {1, 1})}),
              HasSubstr("2 scales are given for 3 axes"));
  EXPECT_THAT(refusal("Resize", {x, none, floats({3}, {1, 1, 2})}, {{"mode", std::string("area")}}),
              HasSubstr("mode 'area' is not known"));
}

TEST(Lstm, StopsAtTheEndOfEachSequence) {
  // One unit whose gates are all open: i = f = o = 1, so h = tanh(c) and c counts the inputs.
  const Tensor x = floats({2, 2, 1}, {20, 20, 20, 20});
  const Tensor w = floats({1, 4, 1}, {1, 1, 1, 1}), r = floats({1, 4, 1}, {0, 0, 0, 0}), none;
  const Tensor lengths = Tensor::from<int32_t>({2}, {2, 1});
  const auto y = run("LSTM", {x, w, r, none, lengths});
  EXPECT_THAT(numbers(y[0]), ElementsAre(0.7616, 0.7616, 0.964, 0));
  EXPECT_THAT(numbers(y[1]), ElementsAre(0.964, 0.7616));
  EXPECT_THAT(numbers(y[2]), ElementsAre(2, 1));
}

TEST(Lstm, RefusesWhatDoesNotFit) {
  const Tensor x = floats({1, 1, 2}, {1, 1});
  const Tensor w(DType::f32, {1, 8, 2}), r(DType::f32, {1, 8, 2});
  EXPECT_THAT(refusal("LSTM", {x, w, Tensor(DType::f32, {1, 8, 3})}),
              HasSubstr("operand 1 is f32[1,8,2], f32[1,12,2] is needed"));
  EXPECT_THAT(refusal("LSTM", {x, w, r}, {{"direction", std::string("up")}}),
              HasSubstr("direction 'up' is not known"));
  EXPECT_THAT(refusal("LSTM", {x, w, r}, {{"hidden_size", int64_t{5}}}),
              HasSubstr("hidden_size is 5"));
  EXPECT_THAT(refusal("LSTM", {x, w, r},
                      {{"activations", std::vector<std::string>{"Sigmoid", "Tanh", "Sine"}}}),
              HasSubstr("the activation 'Sine' is not supported"));
}

}  // namespace
}  // namespace espalier

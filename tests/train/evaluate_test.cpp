// Answers for places of samples.
#include <gtest/gtest.h>

#include "tests/train/networks.h"
#include "train/trainer.h"

namespace espalier {
namespace {

/// A network that hands on its input, [N, classes, places] as [N, places, classes].
Graph channels_last(int64_t classes, int64_t places) {
  Graph g;
  g.name = "channels_last";
  Builder b(g);
  const Dims dims = {Dim::symbol("N"), Dim(classes), Dim(places)};
  g.add_output(b.transpose(g.add_input("x", TensorType(DType::f32, dims)), {0, 2, 1}));
  return g;
}

TEST(Evaluate, DiceIsOfAllPlacesOfAllSamples) {
  const int64_t answers[3][4] = {{0, 0, 1, 1}, {1, 2, 2, 0}, {0, 0, 0, 0}};
  const int64_t labels[3][4] = {{0, 1, 1, 1}, {1, 2, 0, 0}, {0, 0, 0, 2}};
  Tensor x(DType::f32, {3, 4, 4}), y(DType::i64, {3, 4});
  for (int64_t n = 0; n < 3; ++n)
    for (int64_t p = 0; p < 4; ++p) {
      x.mutable_data<float>()[(n * 4 + answers[n][p]) * 4 + p] = 3;
      y.mutable_data<int64_t>()[n * 4 + p] = labels[n][p];
    }
  const auto data = testing::dataset(x, y, 4, "places");
  // The last batch is filled up with a sample that counts once.
  const Evaluation e = evaluate(channels_last(4, 4), *data, Loss::kCrossEntropy, 2);
  EXPECT_DOUBLE_EQ(e.accuracy, 9.0 / 12);
  ASSERT_EQ(e.dice.size(), 4u);
  EXPECT_DOUBLE_EQ(e.dice[0], 2.0 * 5 / (7 + 6));
  EXPECT_DOUBLE_EQ(e.dice[1], 2.0 * 3 / (3 + 4));
  EXPECT_DOUBLE_EQ(e.dice[2], 2.0 * 1 / (2 + 2));
  EXPECT_DOUBLE_EQ(e.dice[3], 1);  // neither labelled nor answered
  EXPECT_EQ(e.samples, 3);
}

TEST(Evaluate, OneLabelASampleHasNoDice) {
  const auto data = testing::corners(16, 1);
  EXPECT_TRUE(evaluate(testing::small_cnn(4), *data, Loss::kCrossEntropy).dice.empty());
}

}  // namespace
}  // namespace espalier

#include "data/label_noise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace espalier {
namespace {

std::shared_ptr<const Dataset> numbers(int64_t count, int64_t classes) {
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::f32, {count, 2});
  parts.targets = Tensor(classes ? DType::i64 : DType::f32, {count});
  for (int64_t i = 0; i < count; ++i) {
    if (classes) parts.targets.mutable_data<int64_t>()[i] = i % classes;
    parts.rows.push_back(i);
  }
  parts.classes = classes;
  parts.description = "numbers";
  return std::make_shared<ArrayDataset>(std::move(parts));
}

TEST(LabelNoise, AsManyLabelsAsAskedAreWrongEachWayAlike) {
  const auto data = numbers(3000, 4), noisy = with_label_noise(data, 0.3, 1);
  int64_t wrong = 0, by[4] = {0, 0, 0, 0};
  for (int64_t i = 0; i < 3000; ++i) {
    const int64_t off = (noisy->targets().int_at(i) - data->targets().int_at(i) + 4) % 4;
    wrong += off != 0;
    ++by[off];
  }
  EXPECT_NEAR(double(wrong) / 3000, 0.3, 0.03);
  for (int k = 1; k < 4; ++k) EXPECT_NEAR(double(by[k]) / 3000, 0.1, 0.03);
  EXPECT_TRUE(noisy->targets().identical(with_label_noise(data, 0.3, 1)->targets()));
  EXPECT_FALSE(noisy->targets().identical(with_label_noise(data, 0.3, 2)->targets()));
  EXPECT_TRUE(with_label_noise(data, 0, 1)->targets().identical(data->targets()));
  const std::vector<int64_t> some = {7, 8};
  EXPECT_EQ(noisy->fetch(some).targets.int_at(1), noisy->targets().int_at(8));
  EXPECT_EQ(noisy->description(), "numbers, 30 % of labels wrong");
}

TEST(LabelNoise, NumbersHaveNoLabels) {
  EXPECT_THROW(with_label_noise(numbers(4, 0), 0.5, 1), UserError);
}

}  // namespace
}  // namespace espalier

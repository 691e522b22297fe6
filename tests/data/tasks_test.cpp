#include "data/tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"

namespace espalier {
namespace {

std::shared_ptr<const Dataset> numbers() {
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::f32, {8, 6});
  for (int64_t i = 0; i < 48; ++i) parts.samples.mutable_data<float>()[i] = float(i);
  parts.targets = Tensor::from<int64_t>({8}, {0, 1, 2, 3, 3, 2, 1, 0});
  parts.rows = {0, 1, 2, 3, 4, 5, 6, 7};
  parts.classes = 4;
  parts.class_names = {"a", "b", "c", "d"};
  parts.description = "numbers";
  return std::make_shared<ArrayDataset>(std::move(parts));
}

std::vector<float> read(const Dataset& data, int64_t index) {
  std::vector<float> x(6);
  data.read(index, x.data());
  return x;
}

TEST(Tasks, ClassesInTurnLabelledFromZero) {
  const auto tasks = split_by_class(numbers(), 2);
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[1]->targets().to_i64(), (std::vector<int64_t>{0, 1, 1, 0}));
  EXPECT_EQ(tasks[1]->classes(), 2);
  EXPECT_EQ(tasks[1]->class_names(), (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(read(*tasks[1], 0), read(*numbers(), 2));
  EXPECT_THROW(split_by_class(numbers(), 3), UserError);
}

TEST(Tasks, PermutedElementsAreTheSameForAllSamples) {
  const auto data = numbers(), plain = permuted(data, 0), moved = permuted(data, 3);
  EXPECT_EQ(read(*plain, 5), read(*data, 5));
  std::vector<float> a = read(*moved, 0), b = read(*moved, 1);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(a[i] + 6, b[i]);
  EXPECT_NE(a, read(*data, 0));
  EXPECT_NE(a, read(*permuted(data, 4), 0));
  std::ranges::sort(a);
  EXPECT_EQ(a, read(*data, 0));
  EXPECT_EQ(moved->targets().to_i64(), data->targets().to_i64());
}

}  // namespace
}  // namespace espalier

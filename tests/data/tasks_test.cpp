#include "data/tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const Dataset> pictures(PictureLayout layout) {
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::f32, {4, 2, 2, 3});
  for (int64_t i = 0; i < 48; ++i) parts.samples.mutable_data<float>()[i] = float(i);
  parts.targets = Tensor::from<int64_t>({4}, {2, 0, 1, 2});
  parts.rows = {0, 1, 2, 3};
  parts.classes = 4;
  parts.class_names = {"a", "b", "c", "d"};
  parts.layout = layout;
  parts.description = "numbers";
  return std::make_shared<ArrayDataset>(std::move(parts));
}

std::vector<float> sample(const Dataset& data, int64_t index) {
  std::vector<float> values(size_t(numel(data.sample_shape())));
  data.read(index, values.data());
  return values;
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Tasks, ClassesAreNumberedAnew) {
  const auto all = pictures(PictureLayout::nchw), some = of_classes(all, {2, 1});
  EXPECT_EQ(some->size(), 3);
  EXPECT_EQ(some->classes(), 2);
  EXPECT_EQ(some->class_names(), (std::vector<std::string>{"c", "b"}));
  EXPECT_EQ(some->targets().to_i64(), (std::vector<int64_t>{0, 1, 0}));
  EXPECT_EQ(sample(*some, 0), sample(*all, 0));
  EXPECT_EQ(sample(*some, 1), sample(*all, 2));
  const int64_t rows[] = {1, 2};
  EXPECT_EQ(some->fetch(rows).targets.to_i64(), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(some->description(), "numbers, classes 2 1");
}

TEST(Tasks, ClassesInTurnAreDividedAmongTasks) {
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::f32, {8, 2});
  parts.targets = Tensor::from<int64_t>({8}, {0, 1, 2, 3, 3, 2, 1, 0});
  parts.rows = {0, 1, 2, 3, 4, 5, 6, 7};
  parts.classes = 4;
  parts.description = "numbers";
  const auto all = std::make_shared<ArrayDataset>(std::move(parts));
  const auto tasks = split_by_class(all, 2);
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[1]->targets().to_i64(), (std::vector<int64_t>{0, 1, 1, 0}));
  EXPECT_EQ(tasks[1]->classes(), 2);
  EXPECT_THROW(split_by_class(all, 3), UserError);
  EXPECT_EQ(permuted(all, 0), all);
}

TEST(Tasks, ImpossibleClassesAreRefused) {
  const auto all = pictures(PictureLayout::nchw);
  EXPECT_THAT(error_of([&] { of_classes(all, {1, 1}); }), HasSubstr("class 1 twice"));
  EXPECT_THAT(error_of([&] { of_classes(all, {4}); }), HasSubstr("class 4, which it has not"));
  EXPECT_THAT(error_of([&] { of_classes(all, {0, 3}); }), HasSubstr("no sample of class 3"));
}

TEST(Tasks, PixelsChangePlacesWithAllTheirChannels) {
  for (const PictureLayout layout : {PictureLayout::nchw, PictureLayout::nhwc}) {
    const auto straight = pictures(layout), mixed = permuted(straight, 3);
    const std::vector<float> before = sample(*straight, 1), after = sample(*mixed, 1);
    EXPECT_NE(before, after);
    EXPECT_TRUE(std::ranges::is_permutation(before, after));
    EXPECT_EQ(after, sample(*permuted(straight, 3), 1));
    EXPECT_NE(after, sample(*permuted(straight, 4), 1));
    const PictureShape shape = straight->picture_shape();
    const int64_t pixels = shape.height * shape.width, channels = shape.channels;
    const bool planes = layout == PictureLayout::nchw;
    for (int64_t p = 0; p < pixels; ++p) {
      const auto value = [&](int64_t c) {
        return after[size_t(planes ? c * pixels + p : p * channels + c)];
      };
      for (int64_t c = 1; c < channels; ++c) EXPECT_EQ(value(c) - value(0), float(c * pixels));
    }
  }
}

}  // namespace
}  // namespace espalier

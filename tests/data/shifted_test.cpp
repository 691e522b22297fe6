#include "data/shifted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "data/shuffled_patches.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

/// Grey pictures 4 x 4 of `value`, five classes in turn.
std::shared_ptr<const Dataset> grey(int64_t count, float value,
                                    PictureLayout layout = PictureLayout::nchw) {
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::f32, {count, 1, 4, 4});
  parts.targets = Tensor(DType::i64, {count});
  for (int64_t i = 0; i < parts.samples.size(); ++i)
    parts.samples.mutable_data<float>()[i] = i % 16 == 5 ? 1 : value;
  for (int64_t i = 0; i < count; ++i) {
    parts.targets.mutable_data<int64_t>()[i] = i % 5;
    parts.rows.push_back(i);
  }
  parts.classes = 5;
  parts.layout = layout;
  parts.description = "grey";
  return std::make_shared<ArrayDataset>(std::move(parts));
}

std::vector<float> read(const Dataset& data, int64_t index) {
  std::vector<float> x(size_t(numel(data.sample_shape())));
  data.read(index, x.data());
  return x;
}

std::array<float, 3> ground(const Dataset& data, int64_t index) {
  const std::vector<float> x = read(data, index);
  return {x[0], x[16], x[32]};
}

TEST(Shifted, GroundsAgreeWithTheClassAsOftenAsAsked) {
  const auto always = on_coloured_ground(grey(1000, 0), 1, 3);
  EXPECT_EQ(always->sample_shape(), (Shape{3, 4, 4}));
  std::set<std::array<float, 3>> hues;
  for (int64_t i = 0; i < 5; ++i) {
    hues.insert(ground(*always, i));
    EXPECT_EQ(ground(*always, i), ground(*always, i + 5));
    EXPECT_EQ(read(*always, i)[5], 1);  // what was drawn is white
  }
  EXPECT_EQ(hues.size(), 5u);
  for (const double agreement : {0.0, 0.8}) {
    const auto data = on_coloured_ground(grey(1000, 0), agreement, 3);
    int64_t own = 0;
    std::set<std::array<float, 3>> others;
    for (int64_t i = 0; i < data->size(); ++i) {
      const bool same = ground(*data, i) == ground(*always, i);
      own += same;
      if (!same && i % 5 == 0) others.insert(ground(*data, i));
      EXPECT_EQ(read(*data, i), read(*data, i));
    }
    EXPECT_NEAR(double(own) / 1000, agreement, 0.04);
    EXPECT_EQ(others.size(), 4u);
  }
}

TEST(Shifted, LayoutsHoldTheSamePictures) {
  const std::vector<float> planes = read(*on_coloured_ground(grey(5, 0.25f), 0.5, 1), 3);
  const std::vector<float> pixels =
      read(*on_coloured_ground(grey(5, 0.25f, PictureLayout::nhwc), 0.5, 1), 3);
  for (size_t c = 0; c < 3; ++c)
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(planes[c * 16 + i], pixels[3 * i + c]);
}

TEST(Shifted, CorruptionsDoWhatTheyAreCalled) {
  const auto plain = grey(5, 0.5f);
  const auto deviation = [](const std::vector<float>& x) {
    double mean = 0, squares = 0;
    for (float v : x) mean += double(v) / double(x.size());
    for (float v : x) squares += std::pow(double(v) - mean, 2) / double(x.size());
    return std::sqrt(squares);
  };
  const double before = deviation(read(*plain, 0));
  EXPECT_EQ(read(*corrupted(plain, Corruption::kNone, 1, 0), 2), read(*plain, 2));
  EXPECT_NEAR(deviation(read(*corrupted(plain, Corruption::kContrast, 0.75, 0), 0)), before / 4,
              1e-6);
  const std::vector<float> blurred = read(*corrupted(plain, Corruption::kBlur, 0.8, 0), 0);
  EXPECT_LT(deviation(blurred), before);
  EXPECT_EQ(std::max_element(blurred.begin(), blurred.end()) - blurred.begin(), 5);
  const auto noisy = corrupted(grey(200, 0.5f), Corruption::kNoise, 0.1, 4);
  double squares = 0;
  for (int64_t i = 0; i < 200; ++i) squares += std::pow(double(read(*noisy, i)[0]) - 0.5, 2) / 200;
  EXPECT_NEAR(std::sqrt(squares), 0.1, 0.02);
  EXPECT_NE(read(*noisy, 0), read(*noisy, 5));
}

TEST(Shifted, StreamsTakeSamplesInTurn) {
  const auto a = grey(10, 0.5f), b = corrupted(a, Corruption::kContrast, 1, 0);
  const auto both = in_turn({{a, {3, 1}}, {b, {4}}});
  ASSERT_EQ(both->size(), 3);
  EXPECT_EQ(both->targets().to_i64(), (std::vector<int64_t>{3, 1, 4}));
  EXPECT_EQ(read(*both, 1), read(*a, 1));
  EXPECT_EQ(read(*both, 2), read(*b, 4));
  const std::vector<int64_t> last = {2};
  EXPECT_EQ(both->fetch(last).targets.int_at(0), 4);
}

TEST(Shifted, PixelsBeyondTheRangeAreOneError) {
  try {
    on_coloured_ground(grey(5, 3), 0.5, 0);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("do not lie between 0 and 1"));
    EXPECT_THAT(e.hint(), HasSubstr("normalize: unit"));
  }
}

TEST(ShuffledPatches, PatchesMoveWhole) {
  for (const PictureLayout layout : {PictureLayout::nchw, PictureLayout::nhwc}) {
    const PictureShape shape = {2, 4, 6, layout};
    std::vector<float> in(48), out(48);
    // Each element is the number of its patch, of its place in it, and of its channel.
    const auto at = [&](int64_t c, int64_t y, int64_t x) {
      return size_t(layout == PictureLayout::nchw ? (c * 4 + y) * 6 + x : (y * 6 + x) * 2 + c);
    };
    for (int64_t c = 0; c < 2; ++c)
      for (int64_t y = 0; y < 4; ++y)
        for (int64_t x = 0; x < 6; ++x)
          in[at(c, y, x)] = float(100 * (y / 2 * 2 + x / 3) + 10 * (y % 2 * 3 + x % 3) + c);
    shuffle_patches(shape, 2, Rng(1, 2), in.data(), out.data());
    std::set<int> patches;
    for (int64_t y = 0; y < 4; ++y)
      for (int64_t x = 0; x < 6; ++x)
        for (int64_t c = 0; c < 2; ++c) {
          const int v = int(out[at(c, y, x)]);
          EXPECT_EQ(v % 100, int(10 * (y % 2 * 3 + x % 3) + c));
          EXPECT_EQ(v / 100, int(out[at(0, y / 2 * 2, x / 3 * 3)]) / 100);
          patches.insert(v / 100);
        }
    EXPECT_EQ(patches.size(), 4u);
    EXPECT_NE(in, out);
  }
}

TEST(ShuffledPatches, WhatDoesNotDivideIsOneErrorWithWhatDoes) {
  try {
    check_patches({3, 30, 30, PictureLayout::nchw}, 4, "net");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("net: pictures of 30 x 30 cannot be cut into 4 x 4"));
    EXPECT_THAT(e.hint(), HasSubstr("2, 3, 5, 6"));
  }
  EXPECT_THROW(check_patches({}, 2, "rows"), UserError);
}

}  // namespace
}  // namespace espalier

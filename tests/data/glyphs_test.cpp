#include "data/glyphs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/loader.h"
#include "tests/data/fixtures.h"

namespace espalier {
namespace {

constexpr int64_t kPixels = kGlyphChannels * kGlyphSize * kGlyphSize;

TEST(Glyphs, AnyPictureCanBeDrawnByItself) {
  const RawData raw = make_glyphs(1, 300, 40);
  std::vector<uint8_t> pixels(kPixels);
  for (int64_t i : {0, 7, 255, 256, 299, 300, 339}) {
    draw_glyph(1, i < 300 ? Split::train : Split::test, i < 300 ? i : i - 300, pixels.data());
    const uint8_t* row = raw.samples.data<uint8_t>() + i * kPixels;
    EXPECT_TRUE(std::equal(pixels.begin(), pixels.end(), row)) << i;
  }
}

TEST(Glyphs, DoNotDependOnThreads) {
  ThreadCount one(1);
  const Tensor expected = make_glyphs(2, 600, 0).samples;
  ThreadCount three(3);
  EXPECT_TRUE(make_glyphs(2, 600, 0).samples.identical(expected));
}

TEST(Glyphs, SeedsSplitsAndIndicesDiffer) {
  const auto picture = [](uint64_t seed, Split split, int64_t index) {
    std::vector<uint8_t> pixels(kPixels);
    draw_glyph(seed, split, index, pixels.data());
    return pixels;
  };
  const auto base = picture(1, Split::train, 0);
  EXPECT_EQ(picture(1, Split::train, 0), base);
  EXPECT_NE(picture(2, Split::train, 0), base);
  EXPECT_NE(picture(1, Split::test, 0), base);
  EXPECT_NE(picture(1, Split::train, 20), base);
}

TEST(Glyphs, ClassesTakeTurnsAndHaveNames) {
  const RawData raw = make_glyphs(1, 40, 20);
  EXPECT_EQ(raw.classes, 20);
  EXPECT_EQ(raw.class_names.size(), 20u);
  for (int64_t i = 0; i < 60; ++i) EXPECT_EQ(raw.targets.int_at(i), i % 20);
}

TEST(Glyphs, EveryPictureHasContrast) {
  const RawData raw = make_glyphs(1, 200, 0);
  for (int64_t i = 0; i < 200; ++i) {
    // The widest range over the three planes after leaving out a few noisy pixels.
    int widest = 0;
    for (int64_t c = 0; c < 3; ++c) {
      const uint8_t* plane = raw.samples.data<uint8_t>() + i * kPixels + c * 1024;
      std::vector<uint8_t> sorted(plane, plane + 1024);
      std::sort(sorted.begin(), sorted.end());
      widest = std::max(widest, sorted[1004] - sorted[20]);
    }
    EXPECT_GT(widest, 60) << i;
  }
}

TEST(Glyphs, SpecGivesTrainValAndTest) {
  TemporaryCache cache;
  const DataSource source(DataSpec::parse("synthetic:glyphs?samples=100"));
  EXPECT_EQ(source.split(Split::train)->size(), 90);
  EXPECT_EQ(source.split(Split::val)->size(), 10);
  EXPECT_EQ(source.split(Split::test)->size(), 20);
  EXPECT_EQ(cache.files().size(), 1u);
  const DataSource again(DataSpec::parse("synthetic:glyphs?samples=100"));
  EXPECT_TRUE(again.raw().samples.identical(source.raw().samples));
  EXPECT_EQ(
      user_error([] { DataSource(DataSpec::parse("synthetic:cats")); }),
      "synthetic:cats: is not known | synthetic:glyphs, synthetic:phantoms and synthetic:text are");
}

/// Softmax regression by plain stochastic gradient descent; returns test accuracy.
double linear_accuracy(const Dataset& train, const Dataset& test, int epochs, float rate) {
  const int64_t inputs = numel(train.sample_shape()), classes = train.classes();
  std::vector<float> weights(size_t(inputs * classes)), bias(static_cast<size_t>(classes));
  std::vector<float> x(static_cast<size_t>(inputs)), logits(static_cast<size_t>(classes));
  const auto forward = [&](const Dataset& data, int64_t i) {
    data.read(i, x.data());
    for (int64_t k = 0; k < classes; ++k) {
      float sum = bias[size_t(k)];
      const float* w = &weights[size_t(k * inputs)];
      for (int64_t j = 0; j < inputs; ++j) sum += w[j] * x[size_t(j)];
      logits[size_t(k)] = sum;
    }
  };
  for (int e = 0; e < epochs; ++e)
    for (int64_t i : Rng(1, uint64_t(e)).permutation(train.size())) {
      forward(train, i);
      const float top = *std::max_element(logits.begin(), logits.end());
      float total = 0;
      for (float& l : logits) total += l = std::exp(l - top);
      for (int64_t k = 0; k < classes; ++k) {
        const float error =
            logits[size_t(k)] / total - (train.targets().int_at(i) == k ? 1.0f : 0.0f);
        const float step = rate / float(e + 1) * error;
        bias[size_t(k)] -= step;
        float* w = &weights[size_t(k * inputs)];
        for (int64_t j = 0; j < inputs; ++j) w[j] -= step * x[size_t(j)];
      }
    }
  int64_t right = 0;
  for (int64_t i = 0; i < test.size(); ++i) {
    forward(test, i);
    right +=
        std::max_element(logits.begin(), logits.end()) - logits.begin() == test.targets().int_at(i);
  }
  return double(right) / double(test.size());
}

TEST(Glyphs, ALinearModelFailsOnThem) {
  const DataSource source(
      DataSpec::parse("synthetic:glyphs?samples=2000&cache=off&val=0&normalize=symmetric"));
  const auto train = source.split(Split::train), test = source.split(Split::test);
  const double accuracy = linear_accuracy(*train, *test, 4, 0.003f);
  std::cout << "linear model on glyphs: " << accuracy << "\n";
  EXPECT_LT(accuracy, 0.5);
}

TEST(Glyphs, TheLinearModelItselfWorks) {
  // Two classes told apart by their mean, so that failing above means something.
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::u8, {200, 3, 8, 8});
  parts.targets = Tensor(DType::i64, {200});
  parts.classes = 2;
  const Rng rng(1, 1);
  for (int64_t i = 0; i < 200; ++i) {
    parts.rows.push_back(i);
    parts.targets.mutable_data<int64_t>()[i] = i % 2;
    for (int64_t p = 0; p < 192; ++p)
      parts.samples.mutable_data<uint8_t>()[i * 192 + p] =
          uint8_t(60 * (i % 2) + int64_t(rng.below(uint64_t(i * 192 + p), 196)));
  }
  parts.normalization = parse_normalization("symmetric", DType::u8, 3);
  const ArrayDataset data(parts);
  EXPECT_GT(linear_accuracy(data, data, 5, 0.01f), 0.95);
}

}  // namespace
}  // namespace espalier

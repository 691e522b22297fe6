#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/glyphs.h"
#include "tests/data/fixtures.h"

namespace espalier {
namespace {

std::shared_ptr<const Dataset> sample_data(int64_t count = 50) {
  RawData raw = make_glyphs(3, count, 1);
  ArrayDataset::Parts parts;
  parts.samples = raw.samples;
  parts.targets = raw.targets;
  for (int64_t i = 0; i < count; ++i) parts.rows.push_back(i);
  parts.classes = raw.classes;
  return std::make_shared<ArrayDataset>(std::move(parts));
}

std::vector<Batch> epoch(Loader& loader, int64_t number, int64_t first = 0) {
  loader.start(number, first);
  std::vector<Batch> batches;
  Batch batch;
  while (loader.next(batch)) batches.push_back(batch);
  EXPECT_EQ(loader.position(), loader.batches());
  EXPECT_FALSE(loader.next(batch));
  return batches;
}

void expect_equal(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(a[i].inputs.identical(b[i].inputs)) << "batch " << i;
    EXPECT_TRUE(a[i].targets.identical(b[i].targets)) << "batch " << i;
  }
}

LoaderOptions busy_options() {
  LoaderOptions options;
  options.batch = 8;
  options.shuffle = true;
  options.seed = 5;
  options.augment = Augment::parse("crop=4,flip,cutout=6");
  return options;
}

TEST(Loader, BatchesCoverAnEpoch) {
  const auto data = sample_data(21);
  LoaderOptions options;
  options.batch = 8;
  Loader loader(data, options);
  auto batches = epoch(loader, 0);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0].inputs.shape(), (Shape{8, 3, 32, 32}));
  EXPECT_EQ(batches[2].inputs.shape(), (Shape{5, 3, 32, 32}));
  EXPECT_EQ(batches[2].targets.to_i64(), (std::vector<int64_t>{16, 17, 18, 19, 0}));
  options.drop_last = true;
  Loader full(data, options);
  EXPECT_EQ(epoch(full, 0).size(), 2u);
  EXPECT_EQ(full.samples(), 16);
  options.batch = 22;
  EXPECT_NE(user_error([&] { Loader(data, options); }).find("has no full batch of 22"),
            std::string::npos);
}

TEST(Loader, PrefetchAndThreadsDoNotChangeBatches) {
  LoaderOptions options = busy_options();
  options.prefetch = 0;
  const auto data = sample_data();
  std::vector<Batch> expected;
  {
    ThreadCount one(1);
    Loader loader(data, options);
    expected = epoch(loader, 2);
  }
  for (int prefetch : {0, 1, 4})
    for (int threads : {1, 3}) {
      ThreadCount count(threads);
      options.prefetch = prefetch;
      Loader loader(data, options);
      expect_equal(epoch(loader, 2), expected);
    }
}

TEST(Loader, ResumesAtABatch) {
  Loader loader(sample_data(), busy_options());
  const auto whole = epoch(loader, 1);
  loader.start(0);
  Batch batch;
  loader.next(batch);
  const auto rest = epoch(loader, 1, 3);
  expect_equal(rest, std::vector<Batch>(whole.begin() + 3, whole.end()));
  EXPECT_TRUE(epoch(loader, 1, loader.batches()).empty());
}

TEST(Loader, EpochsAndSeedsDifferInOrder) {
  Loader loader(sample_data(), busy_options());
  const auto first = loader.order(0);
  EXPECT_NE(first, loader.order(1));
  EXPECT_EQ(first, loader.order(0));
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(sorted[size_t(i)], i);
  LoaderOptions other = busy_options();
  other.seed = 6;
  EXPECT_NE(Loader(sample_data(), other).order(0), first);
  other.shuffle = false;
  EXPECT_EQ(Loader(sample_data(), other).order(7)[3], 3);
}

TEST(Loader, ErrorsOfTheDataArrive) {
  class Broken : public ArrayDataset {
   public:
    using ArrayDataset::ArrayDataset;
    void read(int64_t index, float*) const override {
      if (index == 9) throw bad_input("sample 9", "is broken");
    }
  };
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::u8, {20, 1, 2, 2});
  parts.targets = Tensor(DType::i64, {20});
  for (int64_t i = 0; i < 20; ++i) parts.rows.push_back(i);
  LoaderOptions options;
  options.batch = 4;
  Loader loader(std::make_shared<Broken>(parts), options);
  Batch batch;
  EXPECT_TRUE(loader.next(batch));
  EXPECT_TRUE(loader.next(batch));
  EXPECT_EQ(user_error([&] { loader.next(batch); }), "sample 9: is broken");
}

TEST(Augment, WordsParseAndPrint) {
  EXPECT_EQ(Augment::parse("crop=4,flip,cutout=8").text(), "crop=4,flip,cutout=8");
  EXPECT_TRUE(Augment::parse("none").none());
  EXPECT_EQ(Augment::parse("").text(), "none");
  EXPECT_EQ(user_error([] { Augment::parse("rotate=3"); }),
            "augment 'rotate=3': is not known | write crop=PIXELS, shift=PIXELS, cutout=PIXELS, "
            "flip, or none");
  EXPECT_EQ(user_error([] { Augment::parse("crop=x"); }),
            "augment crop: 'x' is not a number of pixels");
}

std::vector<float> ramp(const PictureShape& s) {
  std::vector<float> in(size_t(s.channels * s.height * s.width));
  for (size_t i = 0; i < in.size(); ++i) in[i] = float(i + 1);
  return in;
}

std::vector<float> augmented(const std::string& words, const PictureShape& shape, int64_t sample) {
  const auto in = ramp(shape);
  std::vector<float> out(in.size(), -1.0f);
  augment_picture(Augment::parse(words), augment_rng(1, 2, sample), shape, in.data(), out.data());
  return out;
}

TEST(Augment, FlipMirrorsAboutHalfOfThePictures) {
  const PictureShape shape{1, 2, 3, PictureLayout::nchw};
  int flipped = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const auto out = augmented("flip", shape, i);
    if (out == std::vector<float>{3, 2, 1, 6, 5, 4}) {
      ++flipped;
    } else {
      ASSERT_EQ(out, ramp(shape));
    }
  }
  EXPECT_NEAR(flipped, 100, 30);
}

TEST(Augment, CropShiftsZerosInAndShiftRepeatsTheEdge) {
  const PictureShape shape{1, 1, 3, PictureLayout::nchw};
  const std::vector<std::vector<float>> crops = {{0, 1, 2}, {1, 2, 3}, {2, 3, 0}, {0, 0, 0}};
  const std::vector<std::vector<float>> shifts = {{1, 1, 2}, {1, 2, 3}, {2, 3, 3}};
  std::vector<int> crop_seen(4), shift_seen(3);
  for (int64_t i = 0; i < 100; ++i) {
    const auto crop = std::find(crops.begin(), crops.end(), augmented("crop=1", shape, i));
    ASSERT_NE(crop, crops.end());
    ++crop_seen[size_t(crop - crops.begin())];
    const auto shift = std::find(shifts.begin(), shifts.end(), augmented("shift=1", shape, i));
    ASSERT_NE(shift, shifts.end());
    ++shift_seen[size_t(shift - shifts.begin())];
  }
  for (int n : crop_seen) EXPECT_GT(n, 0);
  for (int n : shift_seen) EXPECT_GT(n, 0);
}

TEST(Augment, CutoutClearsOneSquareInAllChannels) {
  const PictureShape shape{2, 8, 8, PictureLayout::nchw};
  for (int64_t i = 0; i < 50; ++i) {
    const auto out = augmented("cutout=4", shape, i);
    int zeros = 0;
    for (size_t p = 0; p < 64; ++p) {
      zeros += out[p] == 0;
      EXPECT_EQ(out[p] == 0, out[64 + p] == 0);
    }
    EXPECT_GE(zeros, 4);
    EXPECT_LE(zeros, 16);
  }
}

TEST(Augment, LayoutsAgree) {
  const PictureShape planes{3, 6, 5, PictureLayout::nchw};
  PictureShape interleaved = planes;
  interleaved.layout = PictureLayout::nhwc;
  const auto in = ramp(planes);
  std::vector<float> mixed(in.size()), out(in.size());
  for (size_t c = 0; c < 3; ++c)
    for (size_t p = 0; p < 30; ++p) mixed[p * 3 + c] = in[c * 30 + p];
  const auto expected = augmented("crop=2,shift=1,flip,cutout=2", planes, 4);
  augment_picture(Augment::parse("crop=2,shift=1,flip,cutout=2"), augment_rng(1, 2, 4), interleaved,
                  mixed.data(), out.data());
  for (size_t c = 0; c < 3; ++c)
    for (size_t p = 0; p < 30; ++p) ASSERT_EQ(out[p * 3 + c], expected[c * 30 + p]);
}

TEST(Augment, NeedsPictures) {
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::f32, {4, 7});
  parts.targets = Tensor(DType::i64, {4});
  parts.rows = {0, 1, 2, 3};
  EXPECT_EQ(user_error([&] { Loader(std::make_shared<ArrayDataset>(parts), busy_options()); }),
            "augment crop=4,flip,cutout=6: samples of shape [7] are no pictures");
}

// The first views are what a loader of one view gives; the others differ and are drawn alike.
TEST(Loader, GivesSeveralViewsOfEachSample) {
  const auto data = sample_data();
  LoaderOptions options = busy_options();
  Loader one(data, options);
  options.views = 2;
  Loader two(data, options), again(data, options);
  const auto single = epoch(one, 1), both = epoch(two, 1);
  expect_equal(both, epoch(again, 1));
  ASSERT_EQ(single.size(), both.size());
  for (size_t i = 0; i < both.size(); ++i) {
    const Tensor &first = single[i].inputs, &views = both[i].inputs;
    EXPECT_TRUE(single[i].targets.identical(both[i].targets));
    ASSERT_EQ(views.size(), 2 * first.size());
    const float *a = views.data<float>(), *b = a + first.size();
    EXPECT_TRUE(std::equal(a, b, first.data<float>()));
    EXPECT_FALSE(std::equal(a, b, b));
  }
  // Without augmentation they are equal.
  options.augment = {};
  Loader plain(data, options);
  const Tensor views = epoch(plain, 0).at(0).inputs;
  const float* a = views.data<float>();
  EXPECT_TRUE(std::equal(a, a + views.size() / 2, a + views.size() / 2));
}

}  // namespace
}  // namespace espalier

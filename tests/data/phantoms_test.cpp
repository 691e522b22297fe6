#include "data/phantoms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>

#include "data/loader.h"
#include "formats/npy.h"
#include "tests/data/fixtures.h"

namespace espalier {
namespace {

TEST(Phantoms, AnyVolumeCanBeDrawnByItselfOnAnyThread) {
  ThreadCount three(3);
  const RawData raw = make_phantoms(1, 10, 5, 2);
  std::vector<uint8_t> voxels(1000);
  std::vector<int64_t> labels(1000);
  for (int64_t i = 0; i < 7; ++i) {
    draw_phantom(1, i < 5 ? Split::train : Split::test, i < 5 ? i : i - 5, 10, voxels.data(),
                 labels.data());
    EXPECT_TRUE(
        std::ranges::equal(voxels, std::span(raw.samples.data<uint8_t>() + i * 1000, 1000)));
    EXPECT_TRUE(
        std::ranges::equal(labels, std::span(raw.targets.data<int64_t>() + i * 1000, 1000)));
  }
  std::vector<uint8_t> others(1000);
  draw_phantom(2, Split::train, 0, 10, others.data(), labels.data());
  draw_phantom(1, Split::train, 0, 10, voxels.data(), labels.data());
  EXPECT_NE(others, voxels);
}

/// Bones are the densest; lesions are thinner than the organs they lie in.
TEST(Phantoms, LabelsSayWhatIsThere) {
  const RawData raw = make_phantoms(3, 20, 40, 1);
  std::array<double, 4> sum = {}, count = {};
  for (int64_t i = 0; i < raw.targets.size(); ++i) {
    const auto label = size_t(raw.targets.int_at(i));
    ASSERT_LT(label, 4u);
    sum[label] += raw.samples.data<uint8_t>()[i];
    ++count[label];
  }
  for (size_t c = 0; c < 4; ++c) EXPECT_GT(count[c], 0.005 * double(raw.targets.size())) << c;
  const auto mean = [&](size_t c) { return sum[c] / count[c]; };
  EXPECT_GT(mean(2), mean(1) + 10);
  EXPECT_GT(mean(1), mean(3) + 10);
  EXPECT_EQ(raw.class_names[3], "lesion");
}

TEST(Phantoms, SpecGivesVolumesWithLabels) {
  TemporaryCache cache;
  const DataSource source(DataSpec::parse("synthetic:phantoms?samples=20&size=8"));
  const auto train = source.split(Split::train);
  EXPECT_EQ(train->size(), 18);
  EXPECT_EQ(source.split(Split::test)->size(), 4);
  EXPECT_EQ(train->sample_shape(), (Shape{1, 8, 8, 8}));
  EXPECT_EQ(train->target_shape(), (Shape{8, 8, 8}));
  EXPECT_EQ(train->classes(), 4);
  const Batch b = train->fetch(std::vector<int64_t>{3, 1});
  EXPECT_EQ(b.inputs.shape(), (Shape{2, 1, 8, 8, 8}));
  EXPECT_EQ(b.targets.shape(), (Shape{2, 8, 8, 8}));
  const DataSource again(DataSpec::parse("synthetic:phantoms?samples=20&size=8"));
  EXPECT_TRUE(again.raw().targets.identical(source.raw().targets));
}

TEST(Phantoms, MistakesAreTold) {
  const auto error = [](const std::string& spec) {
    return user_error([&] { DataSource(DataSpec::parse(spec)); });
  };
  EXPECT_EQ(error("synthetic:phantoms?size=300"),
            "size=300: is more than 256 voxels along an edge");
  EXPECT_EQ(error("synthetic:glyphs?size=8"),
            "synthetic:glyphs?size=8: holds no volumes, which alone have the key size");
}

/// Volumes of one's own: labels of all places beside them.
TEST(Phantoms, ArraysMayHaveALabelForEachPlace) {
  const TemporaryFolder folder;
  const auto save = [&](const Shape& labels, int64_t last) {
    Tensor x(DType::f32, {10, 2, 3, 4}), y(DType::i64, labels);
    y.mutable_data<int64_t>()[y.size() - 1] = last;
    save_npz(folder / "v.npz", {{"x", x}, {"y", y}});
    return "npz:" + folder / "v.npz";
  };
  const auto data = load_dataset(DataSpec::parse(save({10, 3, 4}, 2)), Split::all);
  EXPECT_EQ(data->target_shape(), (Shape{3, 4}));
  EXPECT_EQ(data->classes(), 3);
  EXPECT_NE(user_error([&] {
              DataSource(DataSpec::parse(save({10, 4, 3}, 2)));
            }).find("one per sample or one per place of it"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              DataSource(DataSpec::parse(save({10, 3, 4}, -1)));
            }).find("gives sample 9 the label -1"),
            std::string::npos);
}

}  // namespace
}  // namespace espalier

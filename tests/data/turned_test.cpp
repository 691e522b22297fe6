#include "data/turned.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace espalier {
namespace {

std::shared_ptr<const Dataset> pictures(PictureLayout layout) {
  ArrayDataset::Parts parts;
  parts.samples = Tensor::from<float>({1, 2, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9,  //
                                                     9, 8, 7, 6, 5, 4, 3, 2, 1});
  parts.targets = Tensor::from<int64_t>({1}, {1});
  parts.rows = {0};
  parts.classes = 2;
  parts.layout = layout;
  parts.description = "nine pixels";
  return std::make_shared<ArrayDataset>(std::move(parts));
}

TEST(Turned, AQuarterTurnMovesPixelsExactly) {
  const auto data = turned(pictures(PictureLayout::nchw), 90);
  std::vector<float> got(18);
  data->read(0, got.data());
  const std::vector<float> left_up = {3, 6, 9, 2, 5, 8, 1, 4, 7, 7, 4, 1, 8, 5, 2, 9, 6, 3};
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], left_up[i], 1e-5) << i;
  EXPECT_EQ(data->description(), "nine pixels, turned by 90 degrees");
  EXPECT_EQ(data->targets().int_at(0), 1);
}

TEST(Turned, BetweenPixelsAndInEitherLayout) {
  std::vector<float> planes(18), pixels(18), none(18), plain(18);
  turned(pictures(PictureLayout::nchw), 45)->read(0, planes.data());
  turned(pictures(PictureLayout::nhwc), 45)->read(0, pixels.data());
  for (size_t c = 0; c < 2; ++c)
    for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(planes[c * 9 + i], pixels[i * 2 + c], 1e-5);
  EXPECT_NEAR(planes[4], 5, 1e-5);
  turned(pictures(PictureLayout::nchw), 0)->read(0, none.data());
  pictures(PictureLayout::nchw)->read(0, plain.data());
  EXPECT_EQ(none, plain);
}

TEST(Turned, NumbersAreNoPictures) {
  ArrayDataset::Parts parts;
  parts.samples = Tensor(DType::f32, {2, 4});
  parts.targets = Tensor(DType::i64, {2});
  parts.rows = {0, 1};
  parts.description = "rows";
  EXPECT_THROW(turned(std::make_shared<ArrayDataset>(std::move(parts)), 10), UserError);
}

}  // namespace
}  // namespace espalier

#include "data/spec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/source.h"
#include "tests/data/fixtures.h"

namespace espalier {
namespace {

TEST(DataSpec, ParsesKeysAndPrintsThemBack) {
  const std::string text =
      "npz:dir/a.npz?split=val&limit=100&normalize=imagenet&layout=nhwc&resize=96x128&val=0.2&"
      "classes=12&cache=off&x=images";
  const DataSpec spec = DataSpec::parse(text);
  EXPECT_EQ(spec.kind, "npz");
  EXPECT_EQ(spec.path, "dir/a.npz");
  EXPECT_EQ(spec.split, Split::val);
  EXPECT_EQ(spec.limit, 100);
  EXPECT_EQ(spec.layout, PictureLayout::nhwc);
  EXPECT_EQ(spec.height, 96);
  EXPECT_EQ(spec.width, 128);
  EXPECT_EQ(spec.val, 0.2);
  EXPECT_EQ(spec.classes, 12);
  EXPECT_FALSE(spec.cache);
  EXPECT_EQ(spec.option("x"), "images");
  EXPECT_EQ(spec.text(), text);
  EXPECT_EQ(DataSpec::parse("idx:data/mnist").text(), "idx:data/mnist");
  EXPECT_EQ(DataSpec::parse("idx:d?resize=224").text(), "idx:d?resize=224");
  EXPECT_EQ(DataSpec::parse("idx:d").with_split(Split::test).text(), "idx:d?split=test");
}

std::string parsing(const std::string& text) {
  try {
    DataSpec::parse(text);
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUsage) << text;
    return std::string(e.what()) + " | " + e.hint();
  }
  ADD_FAILURE() << text << " was accepted";
  return "";
}

TEST(DataSpec, UnknownWordsListWhatIsKnown) {
  EXPECT_EQ(parsing("jpeg:dir"),
            "data kind 'jpeg': is not known | kinds are idx:DIR, cifar:FILE_OR_DIR, "
            "images:DIR_OR_ZIP, npz:FILE, csv:FILE, text:FILE_OR_DIR, synthetic:glyphs");
  EXPECT_EQ(parsing("images:dir?colour=3"),
            "data kind 'images': has no key 'colour' | keys are split, limit, normalize, layout, "
            "resize, val, test, classes, cache, channels, shrink");
  EXPECT_EQ(parsing("mnist"),
            "data spec 'mnist': has no kind | write kind:path, as in idx:data/mnist");
  EXPECT_EQ(parsing("idx:"), "data spec 'idx:': has no path | ");
  EXPECT_EQ(parsing("idx:d?split"), "data spec 'idx:d?split': 'split' is not key=value | ");
}

TEST(DataSpec, ValuesAreChecked) {
  EXPECT_EQ(parsing("idx:d?split=dev"), "split=dev: is not one of train, val, test, all | ");
  EXPECT_EQ(parsing("idx:d?limit=0"), "limit=0: is not a whole number of at least 1 | ");
  EXPECT_EQ(parsing("idx:d?limit=1e3"), "limit=1e3: is not a whole number of at least 1 | ");
  EXPECT_EQ(parsing("idx:d?val=1.5"), "val=1.5: is not a fraction between 0 and 0.9 | ");
  EXPECT_EQ(parsing("idx:d?val=nan"), "val=nan: is not a fraction between 0 and 0.9 | ");
  EXPECT_EQ(parsing("idx:d?resize=32x"),
            "resize=32x: is not a size such as 224 or 96x128 (height x width), at most 16384 | ");
  EXPECT_EQ(parsing("idx:d?resize=30000x30000"),
            "resize=30000x30000: is not a size such as 224 or 96x128 (height x width), at most "
            "16384 | ");
  EXPECT_EQ(parsing("idx:d?limit=10&limit=20"),
            "data spec 'idx:d?limit=10&limit=20': gives 'limit' twice | ");
  EXPECT_EQ(parsing("idx:d?classes=1000000000000"),
            "classes=1000000000000: is not a whole number between 1 and 16777216 | ");
  EXPECT_EQ(parsing("idx:d?cache=maybe"), "cache=maybe: is not one of on, off | ");
  EXPECT_NE(parsing("idx:d?normalize=grey").find("normalize=grey: is not known | schemes are raw"),
            std::string::npos);
}

TEST(Normalization, SchemesAndListsScaleBytes) {
  EXPECT_EQ(parse_normalization("", DType::u8, 1).apply(255, 0), 1.0);
  EXPECT_EQ(parse_normalization("raw", DType::u8, 1).apply(255, 0), 255.0);
  EXPECT_EQ(parse_normalization("", DType::f32, 1).apply(7, 0), 7.0);
  EXPECT_EQ(parse_normalization("symmetric", DType::u8, 3).apply(255, 2), 1.0);
  const Normalization imagenet = parse_normalization("imagenet", DType::u8, 3);
  EXPECT_NEAR(imagenet.apply(255, 1), (1 - 0.456) / 0.224, 1e-12);
  const Normalization list = parse_normalization("0.5,0.25,0/0.5", DType::u8, 3);
  EXPECT_NEAR(list.apply(255, 1), 1.5, 1e-12);
}

TEST(Normalization, ListsMustFitTheSamples) {
  EXPECT_EQ(user_error([] { parse_normalization("imagenet", DType::u8, 1); }),
            "normalize=imagenet: has 3 channels, the samples have 1");
  EXPECT_EQ(user_error([] { parse_normalization("0.5/0", DType::u8, 1); }),
            "normalize=0.5/0: deviations must be positive");
  EXPECT_NE(user_error([] {
              parse_normalization("0.5,x/1", DType::u8, 1);
            }).find("'x' is neither a scheme nor a number"),
            std::string::npos);
}

TEST(Normalization, StandardMeasuresChannels) {
  const Tensor samples = Tensor::from<float>({2, 2, 2}, {1, 3, 5, 5, 5, 7, 5, 5});
  const std::vector<int64_t> rows = {0, 1};
  const Normalization n = measure_normalization(samples, rows);
  EXPECT_EQ(n.mean, (std::vector<double>{4, 5}));
  EXPECT_NEAR(n.deviation[0], std::sqrt(5.0), 1e-12);
  EXPECT_EQ(n.deviation[1], 1.0);
}

}  // namespace
}  // namespace espalier

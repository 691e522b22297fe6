// images:DIR_OR_ZIP and its cache.
#include <gtest/gtest.h>

#include "data/cache.h"
#include "data/source.h"
#include "tests/data/fixtures.h"

namespace espalier {
namespace {

DataSource open(const std::string& text) { return DataSource(DataSpec::parse(text)); }

/// Two classes, four training and two test pictures, each of one colour.
std::vector<ZipEntry> pictures() {
  return {{"set/train/dog/b.png", flat_png(4, 4, 3, 20)},
          {"set/train/cat/a.png", flat_png(4, 4, 3, 10)},
          {"set/train/cat/", ""},
          {"set/train/cat/c.PNG", flat_png(4, 4, 1, 30)},
          {"set/train/dog/d.png", flat_png(4, 4, 3, 40)},
          {"set/test/dog/e.png", flat_png(4, 4, 3, 50)},
          {"set/test/cat/f.png", flat_png(4, 4, 3, 60)},
          {"set/README.txt", "two classes"},
          {"__MACOSX/set/train/cat/._a.png", "junk"}};
}

void write_folder(const TemporaryFolder& folder) {
  for (const ZipEntry& entry : pictures())
    if (!entry.name.ends_with('/')) folder.write(entry.name, entry.bytes);
}

std::vector<int> values(const DataSource& source, Split split) {
  const auto data = source.split(split);
  std::vector<int> list;
  for (int64_t i = 0; i < data->size(); ++i) {
    const std::vector<int64_t> index = {i};
    list.push_back(int(data->fetch(index).inputs.at(0)));
  }
  return list;
}

TEST(Images, FoldersAndZipsHoldTheSame) {
  TemporaryCache cache;
  TemporaryFolder folder;
  write_folder(folder);
  folder.write("all.zip", write_zip(pictures()));
  for (const std::string& path : {folder.path().string() + "/set", folder / "all.zip"}) {
    const DataSource source = open("images:" + path + "?normalize=raw&val=0");
    EXPECT_EQ(values(source, Split::train), (std::vector<int>{10, 30, 20, 40})) << path;
    EXPECT_EQ(values(source, Split::test), (std::vector<int>{60, 50}));
    const auto train = source.split(Split::train);
    EXPECT_EQ(train->class_names(), (std::vector<std::string>{"cat", "dog"}));
    EXPECT_EQ(train->targets().to_i64(), (std::vector<int64_t>{0, 0, 1, 1}));
    EXPECT_EQ(train->sample_shape(), (Shape{3, 4, 4}));
  }
}

TEST(Images, WithoutSplitFoldersAPartIsHeldOut) {
  TemporaryCache cache;
  TemporaryFolder folder;
  for (int i = 0; i < 20; ++i)
    folder.write((i % 2 ? "cat/" : "dog/") + std::to_string(i) + ".png", flat_png(4, 4, 1, i));
  const DataSource source = open("images:" + folder.path().string() + "?test=0.2");
  EXPECT_EQ(source.split(Split::test)->size(), 4);
  EXPECT_EQ(source.split(Split::val)->size(), 2);
  EXPECT_EQ(source.split(Split::train)->size(), 14);
  EXPECT_EQ(source.split(Split::all)->sample_shape(), (Shape{1, 4, 4}));
}

TEST(Images, AValidationFolderIsTheValidationSplit) {
  TemporaryCache cache;
  TemporaryFolder folder;
  folder.write("train/a/1.png", flat_png(2, 2, 1, 1));
  folder.write("valid/a/2.png", flat_png(2, 2, 1, 2));
  folder.write("test/a/3.png", flat_png(2, 2, 1, 3));
  const DataSource source = open("images:" + folder.path().string() + "?normalize=raw");
  EXPECT_EQ(values(source, Split::train), std::vector<int>{1});
  EXPECT_EQ(values(source, Split::val), std::vector<int>{2});
  EXPECT_EQ(values(source, Split::test), std::vector<int>{3});
}

TEST(Images, SizesAndChannelsMustAgreeOrBeAsked) {
  TemporaryCache cache;
  TemporaryFolder folder;
  folder.write("a/1.png", flat_png(4, 3, 1, 1));
  folder.write("a/2.png", flat_png(5, 3, 1, 2));
  const std::string text = "images:" + folder.path().string();
  EXPECT_EQ(user_error([&] { open(text); }),
            folder.path().string() +
                ": a/2.png: is 3x5, the first picture is 3x4 (height x width) | add resize=3x4");
  EXPECT_EQ(open(text + "?resize=8").split(Split::all)->sample_shape(), (Shape{1, 8, 8}));
  folder.write("a/2.png", flat_png(4, 3, 3, 2));
  EXPECT_EQ(user_error([&] { open(text); }),
            folder.path().string() +
                ": a/2.png: has colour, the first picture is grey | add channels=3 or channels=1");
  EXPECT_EQ(open(text + "?channels=3").split(Split::all)->sample_shape(), (Shape{3, 3, 4}));
  EXPECT_EQ(open(text + "?channels=1").split(Split::all)->sample_shape(), (Shape{1, 3, 4}));
}

TEST(Images, ErrorsNameThePicture) {
  TemporaryCache cache;
  TemporaryFolder folder;
  const std::string text = "images:" + folder.path().string();
  EXPECT_NE(user_error([&] { open(text); }).find("holds no .jpg, .jpeg or .png pictures"),
            std::string::npos);
  folder.write("train/loose.png", flat_png(2, 2, 1, 0));
  EXPECT_NE(user_error([&] { open(text); }).find("train/loose.png: lies in no class folder"),
            std::string::npos);
  std::filesystem::remove(folder / "train/loose.png");
  folder.write("a/1.png", flat_png(2, 2, 1, 0));
  folder.write("a/2.png", flat_png(2, 2, 1, 0).substr(0, 50));
  for (int threads : {1, 2, 4}) {
    ThreadCount count(threads);
    EXPECT_NE(user_error([&] { open(text); }).find("a/2.png: is a damaged PNG picture"),
              std::string::npos);
  }
  EXPECT_NE(user_error([] { open("images:/nonexistent"); }).find("/nonexistent: does not exist"),
            std::string::npos);
  EXPECT_TRUE(cache.files().empty());
}

TEST(Cache, IsUsedAndFollowsChanges) {
  TemporaryCache cache;
  TemporaryFolder folder;
  write_folder(folder);
  const std::string text = "images:" + folder.path().string() + "/set?normalize=raw&val=0";
  const auto first = values(open(text), Split::train);
  ASSERT_EQ(cache.files().size(), 1u);
  const auto written = std::filesystem::last_write_time(cache.files()[0]);
  EXPECT_EQ(values(open(text), Split::train), first);
  EXPECT_EQ(std::filesystem::last_write_time(cache.files()[0]), written);
  folder.write("set/train/cat/z.png", flat_png(4, 4, 3, 99));
  EXPECT_EQ(values(open(text), Split::train), (std::vector<int>{10, 30, 99, 20, 40}));
  EXPECT_EQ(cache.files().size(), 2u);
  open(text + "&resize=8");
  EXPECT_EQ(cache.files().size(), 3u);
  open(text + "&resize=9&cache=off");
  EXPECT_EQ(cache.files().size(), 3u);
}

TEST(Cache, DamageIsFoundAndRepaired) {
  TemporaryCache cache;
  TemporaryFolder folder;
  write_folder(folder);
  const std::string text = "images:" + folder.path().string() + "/set?normalize=raw&val=0";
  const auto expected = values(open(text), Split::train);
  const auto file = cache.files().at(0);
  const std::string good = read_file(file);
  for (size_t damage : {size_t{0}, size_t{9}, good.size() / 2, good.size() - 1}) {
    std::string bad = good;
    bad[damage] ^= 1;
    write_file_atomic(file, bad);
    LogLines log;
    EXPECT_EQ(values(open(text), Split::train), expected);
    ASSERT_EQ(log.lines.size(), 1u);
    EXPECT_NE(log.lines[0].find("it is made again"), std::string::npos);
    EXPECT_EQ(read_file(file), good);
  }
  for (size_t length : {size_t{0}, size_t{5}, good.size() / 2, good.size() - 1}) {
    write_file_atomic(file, good.substr(0, length));
    LogLines log;
    EXPECT_EQ(values(open(text), Split::train), expected);
    EXPECT_EQ(log.lines.size(), 1u);
  }
}

TEST(Cache, EveryTruncationIsRefused) {
  RawData data;
  data.samples = Tensor::from<uint8_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  data.targets = Tensor::from<int64_t>({2}, {0, 1});
  data.train = 2;
  data.classes = 2;
  data.class_names = {"a", "b"};
  const std::string bytes = write_cached_data(data, "key");
  const RawData back = read_cached_data(bytes, nullptr, "key", "file");
  EXPECT_TRUE(back.samples.identical(data.samples));
  EXPECT_EQ(back.class_names, data.class_names);
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_THROW(read_cached_data(std::string(bytes, 0, n), nullptr, "key", "file"), UserError);
  EXPECT_EQ(user_error([&] { read_cached_data(bytes, nullptr, "other", "file"); }),
            "file: belongs to other data");
}

TEST(Cache, AFolderThatCannotBeWrittenIsOnlyAWarning) {
  TemporaryFolder folder;
  write_folder(folder);
  folder.write("blocked", "a file where a folder is needed");
  ::setenv("ESPALIER_CACHE", (folder / "blocked").c_str(), 1);
  LogLines log;
  const DataSource source = open("images:" + folder.path().string() + "/set");
  ::unsetenv("ESPALIER_CACHE");
  EXPECT_EQ(source.split(Split::test)->size(), 2);
  ASSERT_EQ(log.lines.size(), 1u);
  EXPECT_NE(log.lines[0].find("warning: data is not cached: "), std::string::npos);
}

TEST(Images, DoNotDependOnThreads) {
  TemporaryFolder folder;
  write_folder(folder);
  const std::string text = "images:" + folder.path().string() + "/set?cache=off";
  ThreadCount one(1);
  const Tensor expected = open(text).raw().samples;
  ThreadCount three(3);
  EXPECT_TRUE(open(text).raw().samples.identical(expected));
}

TEST(RealData, CifarZipCounts) {
  const std::string path = real_data("cifar10/cifar10-jpegq75.zip");
  if (path.empty()) GTEST_SKIP() << "the CIFAR-10 zip is not here";
  TemporaryCache cache;
  const DataSource source = open("images:" + path);
  EXPECT_EQ(source.split(Split::train)->size(), 45000);
  EXPECT_EQ(source.split(Split::val)->size(), 5000);
  const auto test = source.split(Split::test);
  EXPECT_EQ(test->size(), 10000);
  EXPECT_EQ(test->sample_shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(test->class_names()[0], "airplane");
  EXPECT_EQ(test->class_names()[9], "truck");
  std::vector<int> counts(10);
  for (int64_t i = 0; i < test->size(); ++i) ++counts[size_t(test->targets().int_at(i))];
  for (int n : counts) EXPECT_EQ(n, 1000);
  EXPECT_EQ(open("images:" + path).raw().rows(), 60000);  // from the cache
}

}  // namespace
}  // namespace espalier

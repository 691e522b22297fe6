#include "data/make.h"

#include <gtest/gtest.h>

#include "data/glyphs.h"
#include "formats/gzip.h"
#include "tests/data/fixtures.h"

namespace espalier {
namespace {

TEST(Make, GlyphsComeBackFromBothFormats) {
  TemporaryCache cache;
  TemporaryFolder folder;
  const DataSpec spec = DataSpec::parse("synthetic:glyphs?samples=60&cache=off");
  const RawData expected = make_glyphs(1, 60, 12);
  for (const char* name : {"idx", "images"}) {
    const std::string text =
        make_data(spec, folder.path() / name, parse_data_format(name), /*overwrite=*/false);
    const DataSource back(DataSpec::parse(text));
    EXPECT_EQ(back.raw().train, 60);
    EXPECT_EQ(back.raw().test, 12);
    ASSERT_EQ(back.raw().samples.shape(), expected.samples.shape());
    // Pictures come back sorted by class, so compare one of each form by its bytes.
    if (std::string(name) == "idx") {
      EXPECT_TRUE(back.raw().samples.identical(expected.samples));
      EXPECT_TRUE(back.raw().targets.identical(expected.targets));
    } else {
      EXPECT_EQ(back.raw().class_names[1], "001_plus");
      EXPECT_EQ(std::memcmp(back.raw().samples.raw(), expected.samples.raw(), 3072), 0);
    }
  }
}

TEST(Make, DoesNotOverwriteUnasked) {
  TemporaryFolder folder;
  folder.write("precious.txt", "mine");
  const DataSpec spec = DataSpec::parse("synthetic:glyphs?samples=20&cache=off");
  EXPECT_EQ(
      user_error([&] { make_data(spec, folder.path(), DataFormat::idx, /*overwrite=*/false); }),
      folder.path().string() + ": is not empty | choose another folder, or add --overwrite");
  EXPECT_NO_THROW(make_data(spec, folder.path(), DataFormat::idx, /*overwrite=*/true));
  EXPECT_NE(user_error([&] {
              make_data(spec, folder.path() / "precious.txt" / "x", DataFormat::idx, true);
            }).find("cannot be written"),
            std::string::npos);
  EXPECT_EQ(user_error([] { parse_data_format("tfrecord"); }),
            "format=tfrecord: is not one of idx, images");
}

TEST(Make, WritesPicturesOnly) {
  TemporaryFolder folder;
  folder.write("a.csv", "1,0\n2,1\n");
  EXPECT_NE(user_error([&] {
              make_data(DataSpec::parse("csv:" + (folder / "a.csv")), folder.path() / "out",
                        DataFormat::idx, false);
            }).find("holds no pictures of bytes with class labels"),
            std::string::npos);
}

/// A set of one file that lies on this machine.
NamedSet local_set(const TemporaryFolder& folder, const std::string& md5) {
  return {"local",
          "",
          {{"a.txt", {"file://" + (folder / "absent"), "file://" + (folder / "a")}, md5}},
          "",
          "idx"};
}

TEST(Get, TriesAddressesAndChecksSums) {
  TemporaryFolder from, to;
  from.write("a", "hello\n");
  LogLines log;
  const NamedSet good = local_set(from, "b1946ac92492d2347c6235b4d2611184");
  EXPECT_EQ(get_data(good, to.path()), "idx:" + to.path().string());
  EXPECT_EQ(read_file(to / "a.txt"), "hello\n");
  // Kept, not fetched again.
  const size_t lines = log.lines.size();
  std::filesystem::remove(from / "a");
  get_data(good, to.path());
  EXPECT_EQ(log.lines.size(), lines);
}

TEST(Get, AWrongSumIsRefusedAndNotKept) {
  TemporaryFolder from, to;
  from.write("a", "hello\n");
  LogLines log;
  EXPECT_NE(user_error([&] {
              get_data(local_set(from, "00000000000000000000000000000000"), to.path());
            }).find("a.txt: could not be fetched with the right checksum"),
            std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(to.path()));
  bool named = false;
  for (const std::string& line : log.lines)
    named = named || line.find("has checksum b1946ac92492d2347c6235b4d2611184") != line.npos;
  EXPECT_TRUE(named);
}

TEST(Get, ArchivesAreUnpacked) {
  TemporaryFolder from, to;
  from.write("set/one.txt", "1");
  const std::string command =
      "cd '" + from.path().string() + "' && tar -czf a.tar.gz set && md5sum < a.tar.gz > sum";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string sum = read_file(from / "sum").substr(0, 32);
  LogLines log;
  const NamedSet set = {
      "x", "", {{"a.tar.gz", {"file://" + (from / "a.tar.gz")}, sum}}, "set", "cifar"};
  EXPECT_EQ(get_data(set, to.path()), "cifar:" + (to / "set"));
  EXPECT_EQ(read_file(to / "set/one.txt"), "1");
}

TEST(Get, NamesAreKnown) {
  EXPECT_EQ(find_named_set("mnist").files.size(), 4u);
  EXPECT_EQ(user_error([] { find_named_set("imagenet"); }),
            "data set 'imagenet': is not known | sets are mnist, fashion-mnist, cifar10, cifar100");
}

}  // namespace
}  // namespace espalier

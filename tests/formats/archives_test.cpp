// Gzip and zip.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "formats/gzip.h"
#include "formats/zip.h"
#include "tests/formats/malformed.h"

namespace espalier {
namespace {

std::string noise(size_t n) {
  const Rng rng(3, 4);
  std::string bytes(n, '\0');
  for (size_t i = 0; i < n; ++i) bytes[i] = char(rng.bits(i));
  return bytes;
}

TEST(Gzip, RoundTripsSmallAndLargeBuffers) {
  for (size_t n : {size_t{0}, size_t{1}, size_t{1000}, size_t{1} << 20}) {
    const std::string bytes = noise(n);
    EXPECT_EQ(gunzip(gzip(bytes), "file"), bytes);
  }
  const std::string runs(1 << 20, 'a');
  EXPECT_LT(gzip(runs).size(), 4096u);
  EXPECT_EQ(gunzip(gzip(runs), "file"), runs);
}

TEST(Gzip, ReadsSeveralMembers) {
  EXPECT_EQ(gunzip(gzip("one ") + gzip("two"), "file"), "one two");
}

TEST(Gzip, TruncationAndDamageAreErrors) {
  const std::string bytes = gzip("a short text, a short text, a short text");
  const auto reader = [](const std::string& b) { gunzip(b, "file"); };
  expect_truncation_refused(bytes, reader);
  expect_damage_survived(bytes, reader);
  std::string wrong_sum = bytes;
  wrong_sum[wrong_sum.size() - 8] ^= 1;
  EXPECT_EQ(user_error([&] { reader(wrong_sum); }),
            "file: is a damaged gzip file: incorrect data check | fetch it again");
  EXPECT_EQ(user_error([&] { reader(bytes + "junk"); }),
            "file: is a damaged gzip file: incorrect header check | fetch it again");
}

TEST(Gzip, GrowthIsLimited) {
  const std::string bomb = gzip(std::string(10'000'000, '\0'));
  EXPECT_EQ(user_error([&] { gunzip(bomb, "file", 1'000'000); }),
            "file: holds more than 1000000 bytes");
}

TEST(Crc32, MatchesTheCheckValue) {
  EXPECT_EQ(crc32_of("123456789"), 0xCBF43926u);
  EXPECT_EQ(crc32_of("6789", crc32_of("12345")), 0xCBF43926u);
}

const std::vector<ZipEntry>& sample_entries() {
  static const std::vector<ZipEntry> entries = {
      {"train/cat/1.txt", "meow"}, {"train/dog/1.txt", noise(300'000)}, {"empty", ""}};
  return entries;
}

TEST(Zip, RoundTripsEntriesInOrder) {
  for (bool store : {false, true}) {
    const std::string bytes = write_zip(sample_entries(), store);
    const ZipArchive archive(bytes, "file");
    ASSERT_EQ(archive.names().size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(archive.names()[i], sample_entries()[i].name);
      EXPECT_EQ(archive.read(i), sample_entries()[i].bytes);
    }
  }
}

TEST(Zip, OpensFilesAndNamesThemInErrors) {
  const auto path = std::filesystem::temp_directory_path() / "espalier_zip_test.zip";
  write_file_atomic(path, write_zip(sample_entries()));
  EXPECT_EQ(ZipArchive(path).read(0), "meow");
  write_file_atomic(path, "this is no archive");
  const std::string message = user_error([&] { ZipArchive{path}; });
  EXPECT_NE(message.find(path.string() + ": cannot be read as a zip archive: Not a zip archive"),
            std::string::npos)
      << message;
  std::filesystem::remove(path);
  EXPECT_NE(user_error([&] { ZipArchive{path}; }).find("No such file"), std::string::npos);
}

TEST(Zip, TruncationAndDamageAreErrors) {
  const std::string bytes = write_zip({{"a", "some text, some text"}, {"b", "more"}});
  const auto reader = [](const std::string& b) {
    const ZipArchive archive(b, "file");
    for (size_t i = 0; i < archive.names().size(); ++i) archive.read(i);
  };
  expect_truncation_refused(bytes, reader);
  expect_damage_survived(bytes, reader);
  EXPECT_THROW(ZipArchive("", "file"), UserError);
}

TEST(Zip, GrowthIsLimited) {
  const std::string bytes = write_zip({{"bomb", std::string(5'000'000, '\0')}});
  EXPECT_EQ(user_error([&] { ZipArchive(bytes, "file").read(0, 1'000'000); }),
            "file: bomb: holds more than 1000000 bytes");
}

}  // namespace
}  // namespace espalier

#include "formats/idx.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "formats/gzip.h"
#include "tests/formats/malformed.h"

namespace espalier {
namespace {

Tensor decode(const std::string& bytes) { return read_idx(bytes, "file"); }

TEST(Idx, EveryTypeRoundTrips) {
  const Tensor values = Tensor::from<int32_t>({2, 3}, {0, 1, 2, 3, 100, 127});
  for (DType type : {DType::u8, DType::i8, DType::i16, DType::i32, DType::f32, DType::f64}) {
    const Tensor t = values.cast(type);
    EXPECT_TRUE(t.identical(decode(write_idx(t)))) << name_of(type);
  }
  EXPECT_EQ(write_idx(values.cast(DType::i16)).substr(0, 16),
            std::string("\0\0\x0B\x02\0\0\0\x02\0\0\0\x03\0\0\0\x01", 16));
}

TEST(Idx, FilesMayBeGzip) {
  const Tensor t = Tensor::from<uint8_t>({3}, {4, 5, 6});
  const auto folder = std::filesystem::temp_directory_path();
  for (const char* name : {"espalier_idx_test", "espalier_idx_test.gz"}) {
    save_idx(folder / name, t);
    EXPECT_EQ(is_gzip(read_file_gunzipped(folder / name)), false);
    EXPECT_TRUE(load_idx(folder / name).identical(t));
    std::filesystem::remove(folder / name);
  }
}

TEST(Idx, TruncationAndDamageAreErrors) {
  const std::string bytes = write_idx(Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  expect_truncation_refused(bytes, decode);
  expect_damage_survived(bytes, decode);
  EXPECT_EQ(user_error([&] { decode(bytes + "x"); }), "file: has 1 bytes after its data");
  EXPECT_EQ(user_error([] { decode("hello world"); }), "file: is not an IDX file");
  EXPECT_NE(user_error([] {
              decode(std::string("\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", 12));
            }).find("more elements than fit"),
            std::string::npos);
  EXPECT_NE(user_error([] { write_idx(Tensor(DType::i64, {1})); }).find("no element type i64"),
            std::string::npos);
}

}  // namespace
}  // namespace espalier

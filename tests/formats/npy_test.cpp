#include "formats/npy.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "formats/zip.h"
#include "tests/formats/malformed.h"

namespace espalier {
namespace {

constexpr DType kWritable[] = {DType::f64, DType::f32, DType::f16, DType::i64,
                               DType::i32, DType::i16, DType::i8,  DType::u64,
                               DType::u32, DType::u16, DType::u8,  DType::boolean};

Tensor counting(DType type, const Shape& shape) {
  Tensor t(DType::i64, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<int64_t>()[i] = i % 100;
  return t.cast(type);
}

Tensor decode(const std::string& bytes) { return read_npy(bytes, "file"); }

/// A version 1 file with the given dictionary.
std::string with_header(const std::string& dictionary, const std::string& data, char major = 1) {
  std::string out = "\x93NUMPY";
  out += {major, '\0'};
  out += {char(dictionary.size() & 255), char(dictionary.size() >> 8)};
  if (major > 1) out += {'\0', '\0'};
  return out + dictionary + data;
}

TEST(Npy, EveryTypeAndOrderRoundTrips) {
  for (DType type : kWritable)
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3, 4}, Shape{0, 3}, Shape{1, 1}})
      for (NpyOrder order : {NpyOrder::c, NpyOrder::fortran}) {
        const Tensor t = counting(type, shape);
        EXPECT_TRUE(t.identical(decode(write_npy(t, order)))) << name_of(type) << to_string(shape);
      }
}

TEST(Npy, WritesTheHeaderNumPyWrites) {
  const std::string bytes = write_npy(counting(DType::f32, {3, 4}));
  EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_EQ(bytes.substr(10, 60), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } ");
  EXPECT_EQ(bytes[127], '\n');
  EXPECT_EQ(bytes.size(), 128u + 48u);
  EXPECT_NE(
      write_npy(counting(DType::u8, {7})).find("'|u1', 'fortran_order': False, 'shape': (7,)"),
      std::string::npos);
}

TEST(Npy, ReadsOtherByteOrderAndVersions) {
  const std::string data("\x00\x01\x00\x02", 4);
  const std::string header = "{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }\n";
  for (char major : {1, 2, 3})
    EXPECT_EQ(decode(with_header(header, data, major)).to_i64(), (std::vector<int64_t>{1, 2}));
}

TEST(Npy, ReadsFortranOrder) {
  const std::string header = "{\"shape\": (2L, 3L), \"fortran_order\": True, \"descr\": \"|u1\"}";
  const Tensor t = decode(with_header(header, std::string("\x00\x03\x01\x04\x02\x05", 6)));
  EXPECT_EQ(t.to_i64(), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Npy, RefusesTypesByName) {
  const auto reading = [](const std::string& descr) {
    return user_error([&] {
      decode(with_header("{'descr': " + descr + ", 'fortran_order': False, 'shape': (1,)}",
                         std::string(64, 'x')));
    });
  };
  EXPECT_EQ(reading("'<c8'"),
            "file: holds elements of NPY type '<c8' | convert to a float, integer or bool array "
            "before saving");
  EXPECT_NE(reading("'|O'").find("'|O'"), std::string::npos);
  EXPECT_NE(reading("'<U5'").find("'<U5'"), std::string::npos);
  EXPECT_NE(reading("[('a', '<f4')]").find("holds records"), std::string::npos);
  EXPECT_NE(reading("''").find("NPY type ''"), std::string::npos);
  EXPECT_EQ(user_error([] { write_npy(Tensor(DType::bf16, {2})); }),
            "NPY: has no name for element type bf16 | cast to f32 first");
}

TEST(Npy, MalformedHeadersSayWhatIsWrong) {
  const auto reading = [](const std::string& dictionary, const std::string& data = "") {
    return user_error([&] { decode(with_header(dictionary, data)); });
  };
  EXPECT_NE(reading("{'descr': '<f4'}").find("without descr, fortran_order or shape"),
            std::string::npos);
  EXPECT_NE(reading("{'descr': '<f4', 'fortran_order': 1}").find("expected True or False"),
            std::string::npos);
  EXPECT_NE(reading("{'shape': (-3,)}").find("expected an extent"), std::string::npos);
  EXPECT_NE(reading("{'colour': 3}").find("unknown key 'colour'"), std::string::npos);
  EXPECT_NE(reading("{'descr': '<u1', 'fortran_order': False, 'shape': (4611686018427387904, 16)}")
                .find("more elements than fit 64 bits"),
            std::string::npos);
  EXPECT_NE(reading("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,)}")
                .find("is truncated"),
            std::string::npos);
  EXPECT_NE(reading("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", "ab")
                .find("1 bytes after its data"),
            std::string::npos);
}

TEST(Npy, TruncationAndDamageAreErrors) {
  const std::string bytes = write_npy(counting(DType::i16, {3, 5}), NpyOrder::fortran);
  expect_truncation_refused(bytes, decode);
  expect_damage_survived(bytes, decode);
}

TEST(Npz, RoundTripsNamesAndOrder) {
  const std::vector<NamedTensor> tensors = {{"y_train", counting(DType::i64, {4})},
                                            {"x_train", counting(DType::u8, {4, 2, 2})},
                                            {"empty", Tensor(DType::f32, {0})}};
  const auto path = std::filesystem::temp_directory_path() / "espalier_npz_test.npz";
  save_npz(path, tensors);
  const auto back = load_npz(path);
  std::filesystem::remove(path);
  ASSERT_EQ(back.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(back[i].name, tensors[i].name);
    EXPECT_TRUE(back[i].tensor.identical(tensors[i].tensor));
  }
  EXPECT_EQ(write_npz(tensors), write_npz(tensors));
}

TEST(Npz, TruncationAndDamageAreErrors) {
  const std::string bytes = write_npz({{"a", counting(DType::f32, {3})}});
  const auto reader = [](const std::string& b) { read_npz(b, "file"); };
  expect_truncation_refused(bytes, reader);
  expect_damage_survived(bytes, reader);
  EXPECT_EQ(user_error([] {
              read_npz(write_zip({{"readme.txt", "hello"}}), "file");
            }),
            "file: has a member 'readme.txt' that is not an NPY file");
}

}  // namespace
}  // namespace espalier

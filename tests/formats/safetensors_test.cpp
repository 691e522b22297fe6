#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "tests/formats/malformed.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

TensorFile sample() {
  TensorFile file;
  file.tensors["w"] = Tensor::from<float>({2, 2}, {1, -2, 3.5f, 4});
  file.tensors["b"] = Tensor::from<int64_t>({3}, {1, 2, -3});
  file.tensors["flag"] = Tensor::from<bool>({1}, {true});
  file.tensors["empty"] = Tensor(DType::f32, {0, 4});
  file.tensors["scalar"] = Tensor::scalar(2.5).cast(DType::bf16);
  file.metadata["made by"] = "a \"test\"";
  return file;
}

/// A file with this header and `data` bytes of zeros.
std::string with_header(const std::string& header, size_t data) {
  std::string bytes;
  for (size_t i = 0; i < 8; ++i) bytes += char(uint64_t(header.size()) >> (8 * i));
  return bytes + header + std::string(data, '\0');
}

TEST(Safetensors, RoundTripsEveryTypeShapeAndMetadata) {
  const TensorFile file = sample();
  const TensorFile back = decode_safetensors(encode_safetensors(file), "file");
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors)
    EXPECT_TRUE(back.tensors.at(name).identical(tensor)) << name;
  EXPECT_EQ(back.metadata, file.metadata);
  EXPECT_EQ(checksum(back), checksum(file));
  TensorFile other = sample();
  other.tensors["w"].mutable_data<float>()[3] = 5;
  EXPECT_NE(checksum(other), checksum(file));
}

// The layout other programs write and read.
TEST(Safetensors, ReadsAFileWrittenByHand) {
  const std::string header = R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  std::string bytes = with_header(header, 2);
  bytes.back() = 7;
  const TensorFile file = decode_safetensors(bytes, "file");
  EXPECT_EQ(file.tensors.at("x").to_i64(), (std::vector<int64_t>{0, 7}));
}

TEST(Safetensors, RefusesDamage) {
  const auto refuse = [](const std::string& header, size_t data) {
    return user_error([&] { decode_safetensors(with_header(header, data), "file"); });
  };
  EXPECT_THAT(refuse("[1]", 0), HasSubstr("file: its header is no JSON object"));
  EXPECT_THAT(refuse(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 8),
              HasSubstr("tensor 'x' lies outside the file (0 to 9 of 8 bytes)"));
  EXPECT_THAT(refuse(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
              HasSubstr("tensor 'x' of shape [3] does not fill its 8 bytes"));
  EXPECT_THAT(refuse(R"({"x":{"dtype":"F8","shape":[8],"data_offsets":[0,8]}})", 8),
              HasSubstr("unknown element type 'F8'"));
  EXPECT_THAT(refuse(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 8),
              HasSubstr("4 bytes belong to no tensor"));
  EXPECT_THAT(refuse(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", 8),
              HasSubstr("leaves a gap or overlaps"));
  EXPECT_THAT(refuse(R"({"x":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4),
              HasSubstr("shape with no extents"));
  TensorFile words;
  words.tensors["s"] = Tensor(DType::string, {1});
  EXPECT_THAT(user_error([&] { encode_safetensors(words); }),
              HasSubstr("tensor 's': safetensors cannot hold elements of type string"));
}

TEST(Safetensors, FilesAreMappedNotCopied) {
  const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) /
                                     ("espalier_" + std::to_string(::getpid()) + ".safetensors");
  save_safetensors(sample(), path);
  EXPECT_EQ(read_file(path), encode_safetensors(sample()));
  const TensorFile file = load_safetensors(path);
  std::filesystem::remove(path);  // the mapping holds
  for (const auto& [name, tensor] : sample().tensors)
    EXPECT_TRUE(file.tensors.at(name).identical(tensor)) << name;
  // Neighbours in the file are neighbours in memory.
  const auto* b = static_cast<const char*>(file.tensors.at("b").raw());
  EXPECT_EQ(file.tensors.at("w").raw(), b + file.tensors.at("b").bytes());
  EXPECT_THAT(user_error([&] { load_safetensors(path); }), HasSubstr(path.string()));
}

TEST(Safetensors, ElementsThatLieAskewAreCopied) {
  const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("x":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  std::string bytes = with_header(header, 5);
  const float value = 2.5f;
  std::memcpy(&bytes[bytes.size() - 4], &value, 4);
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) /
      ("espalier_askew_" + std::to_string(::getpid()) + ".safetensors");
  write_file_atomic(path, bytes);
  EXPECT_EQ(load_safetensors(path).tensors.at("x").at(0), 2.5);
  std::filesystem::remove(path);
}

TEST(Safetensors, SurvivesTruncationAndDamage) {
  const std::string bytes = encode_safetensors(sample());
  const auto decode = [](const std::string& b) { decode_safetensors(b, "file"); };
  expect_truncation_refused(bytes, decode);
  expect_damage_survived(bytes, decode);
}

}  // namespace
}  // namespace espalier

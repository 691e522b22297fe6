#include "formats/cifar.h"

#include <gtest/gtest.h>

#include "tests/formats/malformed.h"

namespace espalier {
namespace {

Tensor images(int64_t count) {
  Tensor t(DType::u8, {count, 3, 32, 32});
  const Rng rng(5, 6);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<uint8_t>()[i] = uint8_t(rng.bits(uint64_t(i)));
  return t;
}

TEST(Cifar, TenClassesRoundTrip) {
  const Tensor pictures = images(3), labels = Tensor::from<int64_t>({3}, {9, 0, 4});
  const CifarRecords back = read_cifar(write_cifar(pictures, labels), "file");
  EXPECT_EQ(back.classes, 10);
  EXPECT_TRUE(back.images.identical(pictures));
  EXPECT_TRUE(back.labels.identical(labels));
}

TEST(Cifar, HundredClassesUseTheFineLabel) {
  std::string bytes;
  for (const auto& [coarse, fine] : {std::pair{11, 67}, std::pair{19, 99}}) {
    bytes += {char(coarse), char(fine)};
    bytes.append(3072, char(fine));
  }
  const CifarRecords back = read_cifar(bytes, "file");
  EXPECT_EQ(back.classes, 100);
  EXPECT_EQ(back.labels.to_i64(), (std::vector<int64_t>{67, 99}));
  EXPECT_EQ(back.images.int_at(3072), 99);
}

TEST(Cifar, OtherLengthsAndLabelsAreErrors) {
  std::string bytes = write_cifar(images(1), Tensor::from<int64_t>({1}, {3}));
  expect_truncation_refused(bytes, [](const std::string& b) { read_cifar(b, "file"); });
  bytes[0] = 10;
  EXPECT_EQ(user_error([&] { read_cifar(bytes, "file"); }),
            "file: 3073 bytes are not a whole number of CIFAR records with valid labels | CIFAR-10 "
            "records have 3073 bytes, CIFAR-100 records 3074");
}

}  // namespace
}  // namespace espalier

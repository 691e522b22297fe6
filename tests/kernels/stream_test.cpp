#include "kernels/stream.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "tensor/tensor.h"

namespace espalier {
namespace {

TEST(Stream, ReadsEveryWord) {
  for (const int64_t n : {64, 128, 640}) {
    Tensor t(DType::u64, {n});
    uint64_t* words = t.mutable_data<uint64_t>();
    uint64_t want = 0;
    for (int64_t i = 0; i < n; ++i) want ^= words[i] = Rng(1, 2).bits(uint64_t(i));
    EXPECT_EQ(kernels::read_words(words, n), want);
    for (const int64_t i : {int64_t{0}, n / 2 + 1, n - 1}) {
      words[i] ^= 1;
      EXPECT_NE(kernels::read_words(words, n), want) << i;
      words[i] ^= 1;
    }
  }
}

}  // namespace
}  // namespace espalier

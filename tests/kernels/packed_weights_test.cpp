#include "kernels/packed_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "base/fingerprint.h"

namespace espalier::kernels {
namespace {

using dnnl::memory;

std::vector<float> numbers(size_t n) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = float(i);
  return v;
}

memory::desc rows(int64_t n, int64_t m) { return plain_desc({n, m}, DType::f32); }
memory::desc columns(int64_t n, int64_t m) {
  return memory::desc({n, m}, memory::data_type::f32, memory::dims{1, n});
}

TEST(PackedWeights, EqualWeightsAreHeldOnce) {
  const auto a = numbers(12), b = numbers(12);
  const auto first = packed_weights(rows(3, 4), a.data(), columns(3, 4));
  EXPECT_EQ(first, packed_weights(rows(3, 4), b.data(), columns(3, 4)));
  const auto* packed = static_cast<const float*>(first->get_data_handle());
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 4; ++j) EXPECT_EQ(packed[j * 3 + i], a[i * 4 + j]);
}

TEST(PackedWeights, OtherContentsAndLayoutsAreOthers) {
  const auto a = numbers(12);
  auto b = a;
  b[7] = -7;
  const auto first = packed_weights(rows(3, 4), a.data(), columns(3, 4));
  const auto other = packed_weights(rows(3, 4), b.data(), columns(3, 4));
  EXPECT_NE(first, other);
  EXPECT_EQ(static_cast<const float*>(other->get_data_handle())[3 * 3 + 1], -7);
  EXPECT_NE(first, packed_weights(rows(3, 4), a.data(), rows(3, 4)));
  EXPECT_NE(first, packed_weights(rows(4, 3), a.data(), columns(4, 3)));
}

TEST(PackedWeights, WhatNobodyHoldsGoes) {
  auto a = numbers(12);
  auto held = packed_weights(rows(3, 4), a.data(), rows(3, 4));
  const std::weak_ptr<const memory> watched = held;
  held.reset();
  EXPECT_TRUE(watched.expired());
  // The same again, where the old entry stands.
  EXPECT_EQ(std::memcmp(packed_weights(rows(3, 4), a.data(), rows(3, 4))->get_data_handle(),
                        a.data(), 48),
            0);
}

TEST(Fingerprints, EveryByteAndTheLengthCount) {
  std::set<Fingerprint> seen;
  size_t made = 0;
  for (size_t size = 0; size < 100; ++size) {
    std::vector<unsigned char> bytes(size, 0);
    seen.insert(fingerprint(bytes.data(), size));
    ++made;
    for (size_t i = 0; i < size; ++i)
      for (unsigned char value : {1, 128}) {
        bytes[i] = value;
        seen.insert(fingerprint(bytes.data(), size));
        bytes[i] = 0;
        ++made;
      }
  }
  EXPECT_EQ(seen.size(), made);
}

TEST(Fingerprints, SwappedWordsDiffer) {
  std::vector<uint64_t> words = {1, 2, 3, 4, 5, 6, 7, 8};
  const Fingerprint before = fingerprint(words.data(), 64);
  std::swap(words[0], words[4]);  // of one lane
  EXPECT_NE(fingerprint(words.data(), 64), before);
  std::swap(words[0], words[4]);
  std::swap(words[0], words[1]);
  EXPECT_NE(fingerprint(words.data(), 64), before);
}

}  // namespace
}  // namespace espalier::kernels

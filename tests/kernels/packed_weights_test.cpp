#include "kernels/packed_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/fingerprint.h"

namespace espalier::kernels {
namespace {

using Numbers = std::vector<float>;

Numbers numbers(size_t n) {
  Numbers v(n);
  for (size_t i = 0; i < n; ++i) v[i] = float(i);
  return v;
}

std::span<const std::byte> bytes_of(const Numbers& v) { return std::as_bytes(std::span(v)); }

/// `v` backwards, and whether that had to be made.
struct Backwards {
  PackedWeight packed;
  bool made = false;
};
Backwards backwards(const Numbers& v, const WeightForm& form = {"backwards"}) {
  Backwards b;
  b.packed = packed_weight(bytes_of(v), form, v.size() * sizeof(float), [&](std::byte* at) {
    b.made = true;
    std::reverse_copy(v.begin(), v.end(), reinterpret_cast<float*>(at));
  });
  return b;
}

TEST(PackedWeights, EqualWeightsAreHeldOnce) {
  const auto a = numbers(12), b = numbers(12);
  const auto first = backwards(a), second = backwards(b);
  EXPECT_TRUE(first.made);
  EXPECT_FALSE(second.made);
  EXPECT_EQ(first.packed.data, second.packed.data);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first.packed.data.get()) % 64, 0u);
  EXPECT_EQ(first.packed.as<float>()[0], 11);
  EXPECT_EQ(kept_weight(bytes_of(a)).data, kept_weight(bytes_of(b)).data);
}

TEST(PackedWeights, OtherContentsAndFormsAreOthers) {
  const auto a = numbers(12);
  auto b = a;
  b[7] = -7;
  const auto first = backwards(a);
  EXPECT_EQ(backwards(b).packed.as<float>()[4], -7);
  EXPECT_TRUE(backwards(a, {"backwards again"}).made);
  EXPECT_FALSE(backwards(a).made);
}

TEST(PackedWeights, WhatNobodyHoldsGoes) {
  const auto a = numbers(12);
  EXPECT_TRUE(backwards(a).made);
  EXPECT_TRUE(backwards(a).made);
  EXPECT_TRUE(held_forms(bytes_of(a)).empty());
}

TEST(PackedWeights, PortableFormsAreNamed) {
  const auto a = numbers(12), b = numbers(12);
  const auto one = backwards(a), two = backwards(a, {"another"});
  const auto secret = backwards(a, {"secret", false});
  const auto plain = kept_weight(bytes_of(a));
  const auto forms = held_forms(bytes_of(b));
  ASSERT_EQ(forms.size(), 2u);
  EXPECT_EQ(forms[0].name, "another");
  EXPECT_EQ(forms[1].name, "backwards");
  EXPECT_EQ(forms[1].packed.data, one.packed.data);
}

TEST(PackedWeights, LentFormsAreFoundByPlaceAndKeepTheirOwner) {
  const auto owner = std::make_shared<std::pair<Numbers, Numbers>>(numbers(12), Numbers(12, 5));
  const auto& [weight, form] = *owner;
  std::optional<LentForms> lent;
  lent.emplace(std::vector<LentForms::Weight>{{bytes_of(weight), {{"backwards", bytes_of(form)}}}},
               owner);
  const long before = owner.use_count();
  {
    const auto found = backwards(weight);
    EXPECT_FALSE(found.made);
    EXPECT_EQ(found.packed.as<float>(), form.data());
    EXPECT_EQ(owner.use_count(), before + 1);
    EXPECT_EQ(kept_weight(bytes_of(weight)).as<float>(), weight.data());
  }
  EXPECT_EQ(owner.use_count(), before);
  // Not for a part of the weight, another weight of equal contents or another form.
  EXPECT_TRUE(backwards(numbers(12)).made);
  EXPECT_TRUE(backwards(weight, {"another"}).made);
  EXPECT_TRUE(packed_weight(bytes_of(weight).first(16), {"backwards"}, 48, [](std::byte*) {}));
  lent.reset();
  EXPECT_TRUE(backwards(weight).made);
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

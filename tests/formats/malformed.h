// What every reader of a binary format must survive.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/rng.h"

namespace espalier {

/// The message and hint of the UserError that `f` throws; fails the test when it throws none.
template <class F>
std::string user_error(F&& f) {
  try {
    f();
  } catch (const UserError& e) {
    return std::string(e.what()) + (e.hint().empty() ? "" : " | " + e.hint());
  }
  ADD_FAILURE() << "no UserError was thrown";
  return "";
}

/// `decode` must refuse every proper prefix of `bytes` with a UserError that names "file".
template <class F>
void expect_truncation_refused(const std::string& bytes, F&& decode) {
  ASSERT_NO_THROW(decode(bytes));
  for (size_t n = 0; n < bytes.size(); ++n) {
    // An exact copy, so that a sanitizer sees any read past the end.
    const std::string prefix(bytes, 0, n);
    try {
      decode(prefix);
      FAIL() << n << " of " << bytes.size() << " bytes were accepted";
    } catch (const UserError& e) {
      ASSERT_TRUE(e.where().starts_with("file")) << e.what();
    }
  }
}

/// `decode` must accept or refuse, and do nothing worse, whatever bytes are changed.
template <class F>
void expect_damage_survived(const std::string& bytes, F&& decode, int tries = 2000) {
  const Rng rng(1, stream_of("damage"));
  for (int t = 0; t < tries; ++t) {
    std::string damaged = bytes;
    const Rng draw = rng.fork(uint64_t(t));
    const uint64_t changes = 1 + draw.below(0, 4);
    for (uint64_t c = 0; c < changes; ++c)
      damaged[draw.below(2 * c + 1, damaged.size())] = char(draw.below(2 * c + 2, 256));
    try {
      decode(damaged);
    } catch (const UserError&) {
    }
  }
}

}  // namespace espalier

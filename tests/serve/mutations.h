// Good requests made wrong, deterministically: what clients with defects, and others, send.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"

namespace espalier::serve {

/// A number, word or mark in the place of another.
inline const std::vector<std::string>& odd_tokens() {
  static const std::vector<std::string> tokens = {
      "-1",        "0",        "1e999", "18446744073709551616",
      "-0",        "NaN",      "null",  "true",
      "[]",        "{}",       "[[",    "\"",
      "\\u0000",   "\"x\"",    ",",     ":",
      "\r\n",      "\xff\xfe", "1.5",   "9223372036854775807",
      "\"BYTES\"", "[1,",      "}",     "%s%n"};
  return tokens;
}

/// `good` with one to four defects; a function of (seed, index). Now and then it is still good.
inline std::string mutated(const std::string& good, uint64_t seed, uint64_t index) {
  const Rng rng = Rng(seed, stream_of("malformed requests")).fork(index);
  std::string bad = good;
  uint64_t at = 1;
  const auto below = [&](uint64_t n) { return n ? rng.below(at++, n) : (++at, uint64_t{0}); };
  for (uint64_t defects = 1 + rng.below(0, 4); defects > 0; --defects) {
    const size_t where = below(bad.size() + 1);
    const size_t length = std::min<size_t>(below(24), bad.size() - where);
    switch (below(8)) {
      case 0:  // cut off
        bad.resize(where);
        break;
      case 1:  // a byte changed
        if (where < bad.size()) bad[where] = char(below(256));
        break;
      case 2:  // a bit changed
        if (where < bad.size()) bad[where] = char(bad[where] ^ (1 << below(8)));
        break;
      case 3:  // bytes missing
        bad.erase(where, length);
        break;
      case 4:  // bytes twice
        bad.insert(where, bad.substr(where, length));
        break;
      case 5:  // random bytes
        for (uint64_t n = below(16); n > 0; --n)
          bad.insert(bad.begin() + long(where), char(below(256)));
        break;
      case 6: {  // a number changed
        const size_t digit = bad.find_first_of("0123456789", where);
        if (digit == bad.npos) break;
        const size_t end = std::min(bad.find_first_not_of("0123456789", digit), bad.size());
        bad.replace(digit, end - digit, odd_tokens()[below(odd_tokens().size())]);
        break;
      }
      default: bad.replace(where, length, odd_tokens()[below(odd_tokens().size())]);
    }
  }
  return bad;
}

}  // namespace espalier::serve

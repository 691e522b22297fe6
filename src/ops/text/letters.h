// Upper and lower case of UTF-8 text, letter by letter as Unicode maps them without regard to
// language.
#pragma once

#include <string>

namespace espalier::ops {

enum class LetterCase : uint8_t { kLower, kUpper };

/// The text in that case. Bytes that are no UTF-8 stay what they are.
std::string in_case(const std::string& text, LetterCase wanted);

}  // namespace espalier::ops

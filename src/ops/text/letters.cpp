#include "ops/text/letters.h"

#include <clocale>
#include <cwctype>

namespace espalier::ops {
namespace {

/// The locale whose letters are Unicode's; absent, only ASCII has letters.
locale_t unicode() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{});
  return locale;
}

/// The code point at `i` and how many bytes it takes; 0 bytes where there is none.
struct Letter {
  uint32_t code;
  size_t bytes;
};
Letter letter_at(const std::string& s, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned char lead = byte(i);
  const size_t bytes = lead < 0x80   ? 1
                       : lead < 0xC2 ? 0
                       : lead < 0xE0 ? 2
                       : lead < 0xF0 ? 3
                       : lead < 0xF5 ? 4
                                     : 0;
  if (bytes == 0 || i + bytes > s.size()) return {0, 0};
  uint32_t code = bytes == 1 ? lead : lead & (0x7Fu >> bytes);
  for (size_t k = 1; k < bytes; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return {0, 0};
    code = code << 6 | (byte(i + k) & 0x3Fu);
  }
  // No letter is spelled longer than need be.
  if ((bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000)) return {0, 0};
  return {code, bytes};
}

void append(std::string& s, uint32_t code) {
  if (code < 0x80) {
    s += char(code);
    return;
  }
  const int tails = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  s += char((0xFF00u >> (tails + 1) & 0xFFu) | code >> (6 * tails));
  for (int k = tails; k-- > 0;) s += char(0x80u | (code >> (6 * k) & 0x3Fu));
}

uint32_t mapped(uint32_t code, LetterCase wanted) {
  const bool lower = wanted == LetterCase::kLower;
  if (code < 0x80) {
    const bool other = lower ? code >= 'A' && code <= 'Z' : code >= 'a' && code <= 'z';
    return other ? code ^ 0x20u : code;
  }
  if (!unicode()) return code;
  return uint32_t(lower ? towlower_l(wint_t(code), unicode())
                        : towupper_l(wint_t(code), unicode()));
}

}  // namespace

std::string in_case(const std::string& text, LetterCase wanted) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const Letter letter = letter_at(text, i);
    if (letter.bytes == 0) {
      result += text[i++];
      continue;
    }
    const uint32_t other = mapped(letter.code, wanted);
    if (other == letter.code)
      result.append(text, i, letter.bytes);
    else
      append(result, other);
    i += letter.bytes;
  }
  return result;
}

}  // namespace espalier::ops

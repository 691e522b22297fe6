#include "diagram/labels.h"

#include <algorithm>
#include <cstdio>

#include "diagram/source.h"
#include "ir/room.h"

namespace espalier::diagram {
namespace {

template <class T, class F>
std::string list(const std::vector<T>& items, F text) {
  std::string s = "[";
  for (size_t i = 0; i < items.size(); ++i) s += (i ? ", " : "") + text(items[i]);
  return s + "]";
}

std::string real(float v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", double(v));
  return buffer;
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::string hex(char c) {
  char buffer[8];
  std::snprintf(buffer, sizeof buffer, "\\x%02x", unsigned(static_cast<unsigned char>(c)));
  return buffer;
}

/// Length of the well-formed UTF-8 character at `at`; 0 where there is none.
size_t length_at(const std::string& s, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char c = byte(at);
  if (c < 0x80) return 1;
  const size_t n = c >= 0xC2 && c < 0xE0   ? 2
                   : (c & 0xF0) == 0xE0    ? 3
                   : c >= 0xF0 && c < 0xF5 ? 4
                                           : 0;
  if (n == 0 || at + n > s.size()) return 0;
  for (size_t i = 1; i < n; ++i)
    if (!continues(s[at + i])) return 0;
  const unsigned char second = byte(at + 1);
  // Overlong forms, surrogates, beyond the last code point.
  if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second >= 0xA0) ||
      (c == 0xF0 && second < 0x90) || (c == 0xF4 && second >= 0x90))
    return 0;
  // U+FFFE and U+FFFF are no characters of XML.
  if (c == 0xEF && second == 0xBF && byte(at + 2) >= 0xBE) return 0;
  return n;
}

}  // namespace

std::string attribute_text(const AttributeValue& value) {
  return std::visit(
      [](const auto& x) -> std::string {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<T, int64_t>)
          return std::to_string(x);
        else if constexpr (std::is_same_v<T, float>)
          return real(x);
        else if constexpr (std::is_same_v<T, std::string>)
          return x;
        else if constexpr (std::is_same_v<T, Tensor>)
          return to_string(TensorType(x.dtype(), x.shape())) +
                 (x.dtype() == DType::string ? "" : "#" + std::to_string(content_mark(x)));
        else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
          return list(x, [](int64_t i) { return std::to_string(i); });
        else if constexpr (std::is_same_v<T, std::vector<float>>)
          return list(x, real);
        else if constexpr (std::is_same_v<T, std::vector<std::string>>)
          return list(x, [](const std::string& s) { return s; });
        else if constexpr (std::is_same_v<T, Type>)
          return to_string(x);
        else
          return "graph " + x->name;
      },
      value);
}

std::string attributes_text(const Node& node) {
  std::string s;
  for (const auto& [name, value] : node.room->print(node.attrs, false))
    s += (s.empty() ? "" : " ") + name + "=" + attribute_text(value);
  return s;
}

size_t characters(const std::string& text) {
  size_t n = 0;
  for (char c : text) n += !continues(c);
  return n;
}

std::string shortened(const std::string& text, size_t most) {
  if (characters(text) <= most) return text;
  std::string out;
  size_t n = 0;
  for (char c : text) {
    if (!continues(c) && ++n >= most) break;
    out += c;
  }
  return out + "…";
}

std::string shortened_name(const std::string& text, size_t most) {
  size_t drop = characters(text);
  if (drop <= most) return text;
  drop -= most - 1;
  size_t at = 0;
  while (at < text.size() && (drop > 0 || continues(text[at]))) {
    if (!continues(text[at])) --drop;
    ++at;
  }
  return "…" + text.substr(at);
}

std::string with_valid_bytes(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t n = length_at(text, at);
    out += n ? text.substr(at, n) : hex(text[at]);
    at += std::max<size_t>(n, 1);
  }
  return out;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : with_valid_bytes(text)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (static_cast<unsigned char>(c) < 0x20)
      out += hex(c);
    else
      out += c;
  }
  return out;
}

}  // namespace espalier::diagram

#include "cli/output.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace espalier::cli {
namespace {

/// Characters as a terminal counts them: UTF-8 continuation bytes take no place.
size_t width(const std::string& s) {
  return size_t(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// Bytes of the UTF-8 character that `text` begins with; 0 when it begins with none, or with a
/// control character.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : uint8_t{0}; };
  const uint8_t first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7F ? 1 : 0;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  uint32_t code = first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  // The least code of each length; below it, and in the gaps, there is no character.
  constexpr uint32_t kLeast[] = {0, 0, 0xA0, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  const bool character =
      first >= 0xC2 && first <= 0xF4 && code >= kLeast[length] && code <= 0x10FFFF && !surrogate;
  return character ? length : 0;
}

std::string with_unit(double value, const char* const* units, size_t count) {
  size_t u = 0;
  while (std::abs(value) >= 999.5 && u + 1 < count) {
    value /= 1000;
    ++u;
  }
  return short_number(value, 3) + units[u];
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_length(text.substr(i));
    if (text[i] == '\n') {
      out += ' ';
    } else if (length > 0) {
      out += text.substr(i, length);
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", unsigned{uint8_t(text[i])});
      out += escaped;
    }
    i += std::max<size_t>(length, 1);
  }
  return out;
}

void print_json(const nlohmann::ordered_json& object) {
  const std::string text =
      object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
}

Table::Table(std::vector<std::string> columns) {
  for (auto& c : columns) {
    right_.push_back(c.starts_with(">"));
    if (right_.back()) c.erase(0, 1);
  }
  rows_.push_back(std::move(columns));
}

void Table::row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string Table::text() const {
  std::vector<size_t> widths(right_.size(), 0);
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string fill(widths[i] - width(row[i]), ' ');
      line += (i ? "  " : "") + (right_[i] ? fill + row[i] : row[i] + fill);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

void Table::print() const { std::fputs(text().c_str(), stdout); }

std::string grouped(double count) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.0f", count);
  std::string s = buffer;
  for (int64_t i = int64_t(s.size()) - 3; i > (s[0] == '-' ? 1 : 0); i -= 3)
    s.insert(size_t(i), ",");
  return s;
}

std::string short_count(double count) {
  static const char* const kUnits[] = {"", " k", " M", " G", " T"};
  return with_unit(count, kUnits, std::size(kUnits));
}

std::string short_bytes(double bytes) {
  static const char* const kUnits[] = {" B", " kB", " MB", " GB", " TB"};
  return with_unit(bytes, kUnits, std::size(kUnits));
}

std::string short_number(double value, int digits) {
  if (value == std::floor(value) && std::abs(value) < 1000) digits = std::max(digits, 3);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
  return buffer;
}

}  // namespace espalier::cli
